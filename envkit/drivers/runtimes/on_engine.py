"""The runtime `containers`: an engine, Docker or Podman, with its networks and images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from envkit.base.events import Stream
from envkit.base.paths import Paths
from envkit.config.models import Environment, Service
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes.base import Opening, RuntimeKind

if TYPE_CHECKING:
    from envkit.drivers.runtimes.containers import Containers
    from envkit.drivers.runtimes.networks import Networks
    from envkit.drivers.supply.images import Images
    from envkit.planning.values import ThisHost


@dataclass
class EngineBackend:
    """See `base.Backend` and `base.OnEngine`."""

    opening: Opening
    endpoint: Endpoint

    @property
    def engine(self) -> str:
        """See `base.Backend`."""
        return self.endpoint.engine

    @property
    def engine_url(self) -> str:
        """See `base.Backend`."""
        return self.endpoint.url

    @property
    def where(self) -> str:
        """See `base.Backend`."""
        return str(self.endpoint)

    @property
    def arch(self) -> str:
        """See `base.Backend`."""
        return self.endpoint.arch

    @cached_property
    def runtime(self) -> Containers:
        """See `base.Backend`."""
        from envkit.drivers.runtimes.containers import Containers

        return Containers(self.endpoint, self.opening.claim, self.opening.cancel)

    @cached_property
    def networks(self) -> Networks:
        """See `base.Backend`."""
        from envkit.drivers.runtimes.networks import Networks

        return Networks(self.runtime.api, self.opening.claim)

    @cached_property
    def supply(self) -> Images:
        """See `base.Backend`."""
        from envkit.drivers.supply.images import Images

        return Images(self.runtime.api, self.engine, self.opening.environment.mirrors)

    def check(self) -> None:
        """See `base.Backend`."""
        from envkit.drivers.engine import reach

        reach.check(self.endpoint)

    def this_host(self) -> ThisHost:
        """See `base.Backend`."""
        from envkit.drivers.runtimes.this_host import this_host

        return this_host(self.endpoint, lambda: self.networks.gateway(self.opening.environment.name))

    def lacking(self, _service: Service) -> str:
        """Nothing: an image has all its programs."""
        return ""

    @property
    def api(self) -> Any:
        """See `base.OnEngine`."""
        return self.runtime.api

    def connect(self, seconds: int) -> Any:
        """See `base.OnEngine`."""
        from envkit.drivers.engine.sdk import connect

        return connect(self.endpoint, seconds)


@contextmanager
def entered(
    environment: Environment, environ: Mapping[str, str], paths: Paths, stream: Stream
) -> Iterator[Endpoint]:  # fmt: skip
    """Find the engine that the environment asks for. Raises `EngineError`."""
    from envkit.drivers.engine.podman_service import engine

    with engine(environment.engine, environ, paths, stream) as endpoint:
        yield endpoint


RUNTIME = RuntimeKind(entered, lambda opening: EngineBackend(opening, opening.address))
