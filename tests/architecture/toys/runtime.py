"""A toy runtime: processes of this host, which carry another marker, so that only this runtime finds them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

from envkit.base.owner import Claim
from envkit.base.paths import Paths
from envkit.drivers.runtimes.base import Opening, RuntimeKind, Unit
from envkit.drivers.runtimes.host_site import HostSite
from envkit.drivers.runtimes.launching import Launching
from envkit.drivers.runtimes.on_this_host import HostBackend, entered
from envkit.drivers.runtimes.processes import Processes, never
from envkit.drivers.runtimes.sites import Opened, Recorded, Search, Sites, Trace
from envkit.planning.facts import Instance

PREFIX = "toy-"


class Toys(Processes):
    """Runs the services of the environment NAME with the marker of `toy-NAME`."""

    def observe(self, environment: str) -> list[Instance]:
        return super().observe(PREFIX + environment)

    def start(self, unit: Unit) -> Instance:
        return super().start(replace(unit, environment=PREFIX + unit.environment))


@dataclass
class ToyBackend(HostBackend):
    where: str = "toys"

    @cached_property
    def runtime(self) -> Toys:
        launching = Launching(self.supply, self.opening.cache)
        return Toys(self.opening.paths.services, launching, self.opening.claim)


@dataclass(frozen=True)
class ToySite(HostSite):
    where: str = "toys"

    def traces(self, node_labels: Sequence[str]) -> Iterator[Trace]:
        for trace in super().traces(node_labels):
            if trace.environment.startswith(PREFIX):
                yield replace(trace, environment=trace.environment.removeprefix(PREFIX))

    @contextmanager
    def open(self, paths: Paths, claim: Claim) -> Iterator[Opened]:
        yield Opened(Toys(paths.services, never, claim), lambda _name: [])


def sites(_search: Search) -> Sites:
    return Sites([ToySite()])


@contextmanager
def reopen(recorded: Recorded) -> Iterator[Toys]:
    yield Toys(recorded.paths.services, never, recorded.claim)


def opened(opening: Opening) -> ToyBackend:
    return ToyBackend(opening)


RUNTIME = RuntimeKind(entered, opened, sites, reopen)
