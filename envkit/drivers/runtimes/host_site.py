"""This host as a site: finds the processes of every environment by their marker variable."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from envkit.base import labels
from envkit.base.owner import Claim, machine, namespace
from envkit.base.paths import Paths
from envkit.drivers.runtimes.base import Renewing
from envkit.drivers.runtimes.marked import SERVICE, carrying, owner_of
from envkit.drivers.runtimes.sites import Opened, Recorded, Search, Sites, Trace
from envkit.planning.facts import Instance


@dataclass(frozen=True)
class HostSite:
    """This host, for `down` and `list`; implements `sites.Site`."""

    where: str = "processes"
    address: str = ""
    grace: float = 3.0
    """Seconds between the stop signal and SIGKILL. The data of a test environment does not justify a longer wait."""

    def traces(self, _node_labels: Sequence[str]) -> Iterator[Trace]:
        """Yield each process that leads a session and has the marker variable, if this user can read its variables."""
        import psutil

        for pid, environ in carrying(labels.MARKER):
            with suppress(psutil.Error, OSError):
                process = psutil.Process(pid)
                if not environ[labels.MARKER] or os.getsid(pid) != pid:
                    continue
                owner = owner_of(pid, environ)
                there = machine() if owner.mount == namespace("mnt") else f"mount namespace {owner.mount}"
                paused = process.status() == psutil.STATUS_STOPPED
                what = f"{environ.get(SERVICE) or process.name()} (pid {pid})"
                yield Trace(
                    environ[labels.MARKER], "process", what, self.where,
                    "paused" if paused else "running", replace(owner, machine=there if owner.home else ""),
                    began=process.create_time(),
                )  # fmt: skip

    @contextmanager
    def open(self, paths: Paths, claim: Claim) -> Iterator[Opened]:
        """Yield the runtime on the environment's folder of services, without the ability to start services."""
        from envkit.drivers.runtimes import limits
        from envkit.drivers.runtimes.processes import Processes, never

        def tidy(name: str) -> list[str]:
            return [str(group) for group in limits.groups(name, claim.owner.key) if limits.remove(group)]

        yield Opened(Processes(paths.services, never, claim), tidy)

    def is_at(self, address: str, _home: Path) -> bool:
        """Return whether the state record has an empty address, which means this host."""
        return not address

    def describe(self, instance: Instance) -> str:
        """Return the instance's name with the pid of its process."""
        return f"{instance.name} (process {instance.id})"


def find(_search: Search) -> Sites:
    """Return this host as the only site; it always answers."""
    return Sites([HostSite()])


@contextmanager
def reopen(recorded: Recorded) -> Iterator[Renewing]:
    """Yield the runtime on the environment's folder of services, without the ability to start services."""
    from envkit.drivers.runtimes.processes import Processes, never

    yield Processes(recorded.paths.services, never, recorded.claim)
