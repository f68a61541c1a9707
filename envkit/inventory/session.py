"""One environment opened for work: its runtime, its cluster, its files, and where events go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base import owner
from envkit.base.events import Stream
from envkit.base.owner import Claim
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.config.models import Environment
from envkit.drivers.engine.endpoint import Endpoint
from envkit.inventory import state

if TYPE_CHECKING:
    from envkit.drivers.clusters.base import Cluster
    from envkit.drivers.runtimes.containers import Containers
    from envkit.drivers.runtimes.networks import Networks, NoNetworks
    from envkit.drivers.runtimes.processes import Processes
    from envkit.drivers.supply.build import Recipe
    from envkit.drivers.supply.images import Images
    from envkit.drivers.supply.programs import Programs
    from envkit.planning.values import ThisHost


@dataclass
class Session:
    """What every verb needs. `environ` is the caller's environment, handed in by the command line.

    `endpoint` is None in the embedded lane. The parts are made when first asked for: their imports cost time. `settle`
    makes the files that the environment names, and gives the environment with them; see `drivers.lanes.Entered`.
    """

    environment: Environment
    paths: Paths
    endpoint: Endpoint | None
    stream: Stream
    cancel: Cancel
    environ: Mapping[str, str]
    cache: Path
    lane: str = "containers"
    why: str = ""
    settle: Callable[[int], Environment] | None = None
    up_command: str = "up"
    """The command that brings this environment up, as the user would type it: for the next steps of errors."""
    job: str = ""
    """The CI job that an environment brought up now is made for; empty for none."""
    fixed_ports: frozenset[int] = frozenset()
    """The configuration's own host ports, without an offset: what an offset is chosen for."""
    expires: float = 0.0
    """Seconds since 1970 after which `prune` may take what is brought up now; 0 leaves it as it was."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """The options that chose the environment, as `config.request.Request.asked` tells them."""

    def move(self, port_offset: int) -> None:
        """Go on with the environment at this port offset, its files made."""
        if self.settle:
            self.environment = self.settle(port_offset)
            vars(self).pop("cluster", None)  # it was told the offset when it was first asked for

    def undisturbed(self) -> Session:
        """The same session with a cancel of its own, which no signal sets: for what is done even then."""
        import copy

        twin = copy.copy(self)
        twin.cancel = Cancel()
        return twin

    @cached_property
    def claim(self) -> Claim:
        """Who asks: what may be changed and removed here."""
        record = state.read(self.paths)
        environment = self.environment
        return owner.claim(self.paths.home, environment.checkout, environment.root, record.owner if record else None)

    @property
    def engine(self) -> str:
        """`docker`, `podman`, or empty where no engine runs anything."""
        return self.endpoint.engine if self.endpoint else ""

    @property
    def engine_url(self) -> str:
        """The engine's address, or empty."""
        return self.endpoint.url if self.endpoint else ""

    @property
    def where(self) -> str:
        """Where it all runs, for people."""
        return str(self.endpoint) if self.endpoint else "plain processes"

    @cached_property
    def runtime(self) -> Containers | Processes:
        """Where the services run: a `drivers.runtimes.base.Runtime`, and what else it can do."""
        if self.endpoint:
            return self._containers
        from envkit.drivers.runtimes.launching import Launching
        from envkit.drivers.runtimes.processes import Processes

        return Processes(self.paths.services, Launching(self._programs, self.cache), self.claim)

    @cached_property
    def networks(self) -> Networks | NoNetworks:
        """The engine's networks; processes have none of their own."""
        from envkit.drivers.runtimes.networks import Networks, NoNetworks

        return Networks(self._containers.api, self.claim) if self.endpoint else NoNetworks()

    def this_host(self) -> ThisHost:
        """How what runs in the environment calls this host back; known once its network is there."""
        from envkit.drivers.runtimes.this_host import this_host

        return this_host(self.endpoint, lambda: self.networks.gateway(self.environment.name))

    @cached_property
    def images(self) -> Images | Programs:
        """What services are started from: an engine's images, or programs."""
        if self.endpoint:
            from envkit.drivers.supply.images import Images

            return Images(self._containers.api, self.engine, self.environment.mirrors)
        return self._programs

    @cached_property
    def arch(self) -> str:
        """The engine's machine, `amd64` or `arm64`: it need not be this host's."""
        return self.endpoint.arch if self.endpoint else ""

    @cached_property
    def recipes(self) -> Mapping[str, Recipe]:
        """How to build the services that are built here."""
        from envkit.drivers.supply.build import recipes

        return recipes(self.environment, self.arch, self.cache)

    @cached_property
    def cluster(self) -> Cluster:
        """The environment's cluster."""
        from envkit.drivers.clusters.base import Opening, kind_of

        opening = Opening(
            self.environment, self.paths, self.endpoint, self.runtime, self.environ, self.cache, self.lacking
        )
        return kind_of(self.environment.cluster.type).open(opening)

    @cached_property
    def _containers(self) -> Containers:
        from envkit.drivers.runtimes.containers import Containers

        assert self.endpoint is not None
        return Containers(self.endpoint, self.claim, self.cancel)

    def lacking(self, name: str) -> str:
        """The program of a part of the cluster that cannot be had here, so that the part is left out; else empty."""
        service = self.environment.services.get(name)
        return "" if self.endpoint or service is None else self._programs.lacking(service)

    @cached_property
    def _programs(self) -> Programs:
        from envkit.drivers.supply.programs import Programs

        return Programs(self.environment.services, self.environ, self.cache)
