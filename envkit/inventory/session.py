"""One environment opened for work: its runtime, its cluster, its files, and where events go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit.base import owner
from envkit.base.events import Stream
from envkit.base.owner import Claim
from envkit.base.paths import Paths
from envkit.base.registry import LANES, PROCESSES
from envkit.base.waiting import Cancel
from envkit.config.models import Environment
from envkit.inventory import state

if TYPE_CHECKING:
    from envkit.drivers.clusters.base import Cluster
    from envkit.drivers.runtimes.base import Backend, FullRuntime, Networks
    from envkit.drivers.supply.base import Supply
    from envkit.drivers.supply.build import Recipe
    from envkit.planning.values import ThisHost


@dataclass
class Session:
    """What every verb needs. `environ` is the caller's environment, handed in by the command line.

    `address` is what the lane's runtime runs on, as it was found. The parts are made when first asked for: their
    imports cost time. `settle` makes the files that the environment names; see `drivers.lanes.Entered`.
    """

    environment: Environment
    paths: Paths
    address: Any
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

    @cached_property
    def backend(self) -> Backend:
        """The lane's runtime, with what belongs to it."""
        from envkit.drivers.runtimes.base import Opening, runtime_kind

        opening = Opening(self.environment, self.paths, self.address, self.claim, self.cancel, self.environ, self.cache)
        return runtime_kind(LANES[self.lane].runtime if self.lane in LANES else PROCESSES).open(opening)

    @property
    def engine(self) -> str:
        """`docker`, `podman`, or empty where no engine runs anything."""
        return self.backend.engine

    @property
    def engine_url(self) -> str:
        """The engine's address, or empty."""
        return self.backend.engine_url

    @property
    def where(self) -> str:
        """Where it all runs, for people."""
        return self.backend.where

    @cached_property
    def runtime(self) -> FullRuntime:
        """Where the services run."""
        return self.backend.runtime

    @cached_property
    def networks(self) -> Networks:
        """The environment's networks."""
        return self.backend.networks

    def this_host(self) -> ThisHost:
        """How what runs in the environment calls this host back; known once its network is there."""
        return self.backend.this_host()

    @cached_property
    def images(self) -> Supply:
        """What services are started from: an engine's images, or programs."""
        return self.backend.supply

    @cached_property
    def arch(self) -> str:
        """The engine's machine, `amd64` or `arm64`: it need not be this host's."""
        return self.backend.arch

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
            self.environment, self.paths, self.address, self.runtime, self.environ, self.cache, self.lacking
        )
        return kind_of(self.environment.cluster.type).open(opening)

    def lacking(self, name: str) -> str:
        """The program of a part of the cluster that cannot be had here, so that the part is left out; else empty."""
        service = self.environment.services.get(name)
        return self.backend.lacking(service) if service else ""
