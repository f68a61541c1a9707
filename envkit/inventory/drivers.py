"""The drivers of one environment: its runtime with networks and supply, and its cluster. Each opens at first use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from envkit.base import owner
from envkit.base.caller import Caller
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
    from envkit.inventory.probing import Prober
    from envkit.planning.values import ThisHost


@dataclass(frozen=True)
class Drivers:
    """The drivers that run an environment in its lane. Each opens at its first use, because its imports take time.

    `address` is the value that `RuntimeKind.enter` returned. It tells where the lane's runtime runs, for example on
    which engine. `cancel` ends waits of the runtime.
    """

    environment: Environment
    paths: Paths
    lane: str
    address: Any
    caller: Caller
    cancel: Cancel
    why: str = ""
    """The reason why envkit chose the lane."""

    def at(self, environment: Environment) -> Drivers:
        """Return the drivers of the same environment at another port offset. They keep an open runtime."""
        if environment is self.environment:
            return self
        moved = replace(self, environment=environment)
        vars(moved).update((name, part) for name, part in vars(self).items() if name in ("claim", "backend", "recipes"))
        return moved

    def prober(self, cancel: Cancel) -> Prober:
        """Return a `Prober`, which checks whether the services of this environment work."""
        from envkit.inventory.probing import Prober

        return Prober(self.environment, self.paths, self.runtime, self.this_host, cancel)

    def undisturbed(self) -> Drivers:
        """Return drivers that no signal interrupts. A runtime that is already open stays interruptible."""
        free = replace(self, cancel=Cancel())
        vars(free).update((name, part) for name, part in vars(self).items() if name not in vars(free))
        return free

    @cached_property
    def claim(self) -> Claim:
        """The owner that this command acts for. It decides which resources envkit is allowed to change and remove."""
        record = state.read(self.paths)
        environment = self.environment
        return owner.claim(self.paths.home, environment.checkout, environment.root, record.owner if record else None)

    @cached_property
    def backend(self) -> Backend:
        """The lane's runtime with its networks and its supply."""
        from envkit.drivers.runtimes.base import Opening, runtime_kind

        opening = Opening(
            self.environment, self.paths, self.address, self.claim, self.cancel, self.caller.environ, self.caller.cache
        )
        return runtime_kind(LANES[self.lane].runtime if self.lane in LANES else PROCESSES).open(opening)

    @property
    def engine(self) -> str:
        """`docker` or `podman`, or an empty string if the environment uses no engine."""
        return self.backend.engine

    @property
    def engine_url(self) -> str:
        """The engine's address, or an empty string if the environment uses no engine."""
        return self.backend.engine_url

    @property
    def where(self) -> str:
        """The name that messages use for the place where the environment runs."""
        return self.backend.where

    @property
    def arch(self) -> str:
        """The engine's architecture, `amd64` or `arm64`. It can differ from the architecture of this host."""
        return self.backend.arch

    @property
    def runtime(self) -> FullRuntime:
        """The runtime that starts and stops the services."""
        return self.backend.runtime

    @property
    def networks(self) -> Networks:
        """The environment's networks."""
        return self.backend.networks

    @property
    def supply(self) -> Supply:
        """The source of what services start from: an engine's images, or programs of this host."""
        return self.backend.supply

    @cached_property
    def recipes(self) -> Mapping[str, Recipe]:
        """The build recipe of each service that has a `build`, by the service's name."""
        from envkit.drivers.supply.build import recipes

        return recipes(self.environment, self.arch, self.caller.cache)

    @cached_property
    def cluster(self) -> Cluster:
        """The environment's cluster."""
        from envkit.drivers.clusters.base import Opening, kind_of

        opening = Opening(
            self.environment, self.paths, self.address, self.runtime, self.caller.environ, self.caller.cache,
            self.lacking,
        )  # fmt: skip
        return kind_of(self.environment.cluster.type).open(opening)

    def this_host(self) -> ThisHost:
        """Return the address at which services reach this host. The environment's network must exist."""
        return self.backend.this_host()

    def lacking(self, name: str) -> str:
        """Return the missing program that this optional part of the cluster needs, or "" if none is missing."""
        service = self.environment.services.get(name)
        return self.backend.lacking(service) if service else ""
