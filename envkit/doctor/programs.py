"""Check whether the programs that the embedded lane starts are installed or must be downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Literal

from envkit.base.errors import EnvkitError
from envkit.base.installed import extra_command
from envkit.doctor.finding import Finding
from envkit.doctor.host import Host

EMBEDDED = ("embedded",)
SUPPLIES: tuple[Literal["redis", "postgres", "etcd", "kubernetes"], ...] = ("redis", "postgres", "etcd", "kubernetes")


def programs(host: Host) -> Iterator[Finding]:
    """Search for each program in the same places as `up`, without downloading it."""
    from envkit.drivers.supply.binaries import BinaryUnavailable, Wanted, find

    for name in SUPPLIES:
        try:
            found = find(Wanted(name), host.environ, host.cache)
        except BinaryUnavailable as error:
            yield Finding(name, EMBEDDED, "lacking", error.message, error.hint)
            continue
        if found:
            yield Finding(name, EMBEDDED, "ok", f"{found.version} from {found.source}")
        else:
            slow = "; where no release can be reached, building it takes minutes" if name == "kubernetes" else ""
            yield Finding(name, EMBEDDED, "warning", f"not installed: the first `up` fetches it{slow}", "run `up` once")


def own_service(_host: Host) -> Iterator[Finding]:
    """Check that the Python packages of the reference DataStorage service are installed."""
    from envkit.drivers.supply.programs import NEEDED

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        yield Finding(
            "datastorage", EMBEDDED, "warning", f"it needs Python packages that are missing: {', '.join(missing)}",
            f"{extra_command('datastorage')}, or use an image of it",
        )  # fmt: skip
    else:
        yield Finding("datastorage", EMBEDDED, "ok", "its Python packages are installed")


def service_users(host: Host) -> Iterator[Finding]:
    """If envkit runs as root, check that each service can have its own user and that initdb can have a named user."""
    from envkit.drivers import accounts

    if host.uid:
        return
    if not accounts.available():
        yield Finding(
            "unprivileged user", EMBEDDED, "warning", "this user namespace has only root: services run as root",
            "give it more users (/etc/subuid), or run as a user",
        )  # fmt: skip
        return
    try:
        named = accounts.named()
    except EnvkitError as error:
        yield Finding("unprivileged user", EMBEDDED, "lacking", error.message, error.hint)
        return
    yield Finding("unprivileged user", EMBEDDED, "ok", f"each service has its own; initdb runs as uid {named.uid}")


CHECKS = (
    ("programs", programs),
    ("datastorage", own_service),
    ("unprivileged user", service_users),
)
