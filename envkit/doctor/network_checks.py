"""Check for taken ports, leftovers of earlier environments, and proxies, which can disturb an environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from envkit.base.errors import EngineError
from envkit.base.owner import NOBODY
from envkit.doctor.finding import LANES, Finding, Fix
from envkit.doctor.host import Host

if TYPE_CHECKING:
    from envkit.base.ports import Holder
    from envkit.config.models import Environment
    from envkit.operations.prune import PruneTarget


@dataclass
class Ports:
    """The check of the environment's ports.

    `environment` is None if the configuration has a fault; `fault` is its text. `ours` has the ports that the
    environment holds already.
    """

    environment: Environment | None
    fault: str = ""
    ours: frozenset[int] = field(default_factory=frozenset)

    def __call__(self, host: Host) -> Iterator[Finding]:
        """Report each port that another process or environment holds, with its holder."""
        from envkit.base.ports import holders

        if self.environment is None:
            yield Finding("configuration", (), "warning", self.fault, "the ports were not checked")
            return
        ports = self.environment.host_ports()
        wanted = {port: name for port, name in ports.items() if port not in self.ours}
        taken = holders(wanted, _published(host))
        if not taken:
            yield Finding("ports", LANES, "ok", f"all {len(ports)} of {self.environment.name} are free or its own")
        for holder in taken:
            yield Finding(
                f"port {holder.port}", LANES, "warning", f"{wanted[holder.port]} needs it, but {holder} has it",
                "stop the holder, or move all ports of the environment with --port-offset auto",
            )  # fmt: skip


def _published(host: Host) -> dict[int, Holder]:
    from envkit.drivers.runtimes.containers import Containers

    taken: dict[int, Holder] = {}
    for endpoint in host.endpoints:
        try:
            taken |= Containers(endpoint, NOBODY).published()
        except EngineError:
            continue
    return taken


def leftovers(host: Host) -> Iterator[Finding]:
    """Report each environment that `prune` would remove."""
    from envkit.operations.list import find_environments
    from envkit.operations.prune import choose

    chosen = choose(find_environments(host.home, host.environ).environments)
    if not chosen:
        yield Finding("leftovers", (), "ok", "none of earlier environments")
    for one in chosen:
        yield Finding(
            f"leftover {one.found.name}", (), "warning", one.reason, "`prune` shows and removes it",
            fix=Fix(f"prune {one.found.name}", partial(_prune, host, one)),
        )  # fmt: skip


def _prune(host: Host, one: PruneTarget) -> str:
    from envkit.base.errors import EnvironmentFailed
    from envkit.base.events import Stream
    from envkit.base.waiting import Cancel
    from envkit.operations.prune import prune

    (done,) = prune([one], host.home, host.environ, Stream(), Cancel())
    if done.problem:
        raise EnvironmentFailed(done.problem)
    return f"{len(done.removed)} resources of {done.name} removed"


def proxies(host: Host) -> Iterator[Finding]:
    """Check that the proxy variables exclude 127.0.0.1, because a proxy cannot reach the services of this host."""
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    given = [name for name in names if host.environ.get(name)]
    if not given:
        yield Finding("proxy", LANES, "ok", "none is set")
        return
    spared = {
        word.strip() for name in ("no_proxy", "NO_PROXY") for word in host.environ.get(name, "").split(",") if word
    }
    where = ", ".join(f"{name} ({_shown(host.environ[name])})" for name in given)
    if "*" in spared or spared & {"127.0.0.1", "127.0.0.0/8"}:
        yield Finding("proxy", LANES, "ok", f"{where}; 127.0.0.1 is excluded")
        return
    yield Finding(
        "proxy", LANES, "warning", f"{where}: clients in your suite may send requests for 127.0.0.1 to it",
        'export no_proxy="127.0.0.1,localhost${no_proxy:+,$no_proxy}"; export NO_PROXY="$no_proxy"',
    )  # fmt: skip


def _shown(url: str) -> str:
    """Return only the host and the port of a proxy's URL, because the URL can contain a password."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    return f"{parts.hostname or '?'}:{parts.port}" if parts.port else parts.hostname or "?"


CHECKS = (
    ("proxy", proxies),
    ("leftovers", leftovers),
)
