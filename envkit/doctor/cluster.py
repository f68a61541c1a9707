"""Check what a kind cluster needs: kind itself, a node image, kernel limits and capabilities."""

from __future__ import annotations

from collections.abc import Iterator

from envkit.base.errors import EngineError
from envkit.doctor.finding import Finding
from envkit.doctor.host import Host
from envkit.drivers.clusters.kind_errors import OLDEST_KIND, version_of
from envkit.drivers.clusters.node_image import loaded_program
from envkit.drivers.supply.sealed import is_intact

KIND = ("containers",)
INSTALL = "https://kind.sigs.k8s.io/docs/user/quick-start/#installation"
INOTIFY = {"max_user_instances": 512, "max_user_watches": 524288}
"""The values that kind's documentation recommends: https://kind.sigs.k8s.io/docs/user/known-issues/"""

CAPABILITIES = {"CAP_SYS_ADMIN": 21, "CAP_NET_ADMIN": 12, "CAP_SYS_RESOURCE": 24}
"""The capabilities that root needs for an engine and its privileged nodes, and their bits in CapEff."""


def kind(host: Host) -> Iterator[Finding]:
    """Check that kind is installed and new enough."""
    loaded = loaded_program(host.cache)
    path = host.which("kind") or (str(loaded) if is_intact(loaded.parent) else None)
    if not path:
        seen = "not installed; profiles without a cluster and lane mixed do not need it"
        yield Finding("kind", KIND, "lacking", seen, f"install it: {INSTALL}")
        return
    code, said = host.says(path, "version")
    version = version_of(said)
    if code or not version:
        yield Finding("kind", KIND, "lacking", f"{path} prints no version: {said[:200]}", f"install: {INSTALL}")
        return
    text = ".".join(map(str, version))
    if version < OLDEST_KIND:
        oldest = ".".join(map(str, OLDEST_KIND))
        yield Finding("kind", KIND, "lacking", f"{text} is older than {oldest}", f"install a newer one: {INSTALL}")
    else:
        yield Finding("kind", KIND, "ok", f"{text} at {path}")


def node_image(host: Host) -> Iterator[Finding]:
    """Check whether each engine has a node image already, because it is the largest download of a first `up`."""
    from envkit.drivers.engine.sdk import connect, translated

    for endpoint in host.endpoints:
        api = connect(endpoint, 8)
        try:
            with translated("listing images"):
                tags = [tag for row in api.images() for tag in row.get("RepoTags") or [] if "kindest/node" in tag]
        except EngineError as error:
            yield Finding(f"node image ({endpoint.engine})", KIND, "warning", error.message)
            continue
        finally:
            api.close()
        if tags:
            yield Finding(f"node image ({endpoint.engine})", KIND, "ok", ", ".join(sorted(tags)))
        else:
            yield Finding(
                f"node image ({endpoint.engine})", KIND, "warning", "not pulled yet: the first `up` pulls about 1 GB",
                "pull it beforehand, or set `cluster.node_image` to one in your registry",
            )  # fmt: skip


def inotify(host: Host) -> Iterator[Finding]:
    """Check the limits of inotify: with too few instances, a second cluster fails with "too many open files"."""
    if host.system != "linux":
        return
    low = {}
    for name, least in INOTIFY.items():
        has = host.number(f"/proc/sys/fs/inotify/{name}")
        if has is not None and has < least:
            low[name] = has
    if not low:
        yield Finding("inotify", KIND, "ok", "enough instances and watches")
        return
    seen = ", ".join(f"fs.inotify.{name} is {has}, should be {INOTIFY[name]}" for name, has in low.items())
    settings = [f"fs.inotify.{name}={INOTIFY[name]}" for name in low]
    keep = f"printf '%s\\n' {' '.join(settings)} >/etc/sysctl.d/99-envkit.conf"
    yield Finding("inotify", KIND, "warning", seen, "raise them", (f"sysctl {' '.join(settings)}", keep))


def capabilities(host: Host) -> Iterator[Finding]:
    """Check root's capabilities, because root can lack some in a container. Other users do not need them."""
    if host.uid or host.system != "linux":
        return
    line = next((line for line in host.read("/proc/self/status").splitlines() if line.startswith("CapEff:")), "")
    if not line:
        return
    bits = int(line.split()[1], 16)
    missing = [name for name, bit in CAPABILITIES.items() if not bits >> bit & 1]
    if missing:
        yield Finding(
            "capabilities", KIND, "warning", f"root lacks {', '.join(missing)}: engines started here are limited",
            "give this machine (or container) these capabilities, if a node does not start",
        )  # fmt: skip
    else:
        yield Finding("capabilities", KIND, "ok", "root has all that an engine needs")


CHECKS = (
    ("kind", kind),
    ("node image", node_image),
    ("inotify", inotify),
    ("capabilities", capabilities),
)
