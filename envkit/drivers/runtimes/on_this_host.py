"""The runtime `processes`: services run as processes of this host."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from envkit.base.events import Stream
from envkit.base.paths import Paths
from envkit.config.models import Environment, Service
from envkit.drivers.runtimes.base import Opening, Renewing, RuntimeKind
from envkit.drivers.runtimes.networks import NoNetworks
from envkit.drivers.runtimes.sites import Recorded, Search, Sites

if TYPE_CHECKING:
    from envkit.drivers.runtimes.processes import Processes
    from envkit.drivers.supply.programs import Programs
    from envkit.planning.values import ThisHost


@dataclass
class HostBackend:
    """The backend of an environment that runs its services as processes of this host; implements `base.Backend`."""

    opening: Opening
    engine: str = ""
    engine_url: str = ""
    where: str = "plain processes"
    arch: str = ""

    @cached_property
    def runtime(self) -> Processes:
        """The runtime that runs services as processes, created on first use."""
        from envkit.drivers.runtimes.launching import Launching
        from envkit.drivers.runtimes.processes import Processes

        opening = self.opening
        return Processes(opening.paths.services, Launching(self.supply, opening.cache), opening.claim)

    @cached_property
    def networks(self) -> NoNetworks:
        """The networks; their methods do nothing, because processes use the host's network."""
        return NoNetworks()

    @cached_property
    def supply(self) -> Programs:
        """The programs of the services, created on first use."""
        from envkit.drivers.supply.programs import Programs

        return Programs(self.opening.environment.services, self.opening.environ, self.opening.cache)

    def check(self) -> None:
        """Do nothing: processes open their ports on this host directly."""

    def this_host(self) -> ThisHost:
        """Return 127.0.0.1 for both addresses, because processes run on this host."""
        from envkit.drivers.runtimes.this_host import this_host

        return this_host(None, str)

    def lacking(self, service: Service) -> str:
        """Return the program that is missing for an optional service, or an empty string."""
        return self.supply.lacking(service)


def entered(
    _environment: Environment, _environ: Mapping[str, str], _paths: Paths, _stream: Stream
) -> AbstractContextManager[None]:  # fmt: skip
    """Return a context that yields None, because processes need no engine."""
    return nullcontext()


def sites(search: Search) -> Sites:
    """Return this host as the only site."""
    from envkit.drivers.runtimes.host_site import find

    return find(search)


def reopened(recorded: Recorded) -> AbstractContextManager[Renewing]:
    """Return a context that yields the runtime on the recorded environment's processes."""
    from envkit.drivers.runtimes.host_site import reopen

    return reopen(recorded)


RUNTIME = RuntimeKind(entered, lambda opening: HostBackend(opening), sites, reopened)
