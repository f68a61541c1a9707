"""The runtime `containers`: services run as containers of Docker or Podman."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from envkit.base.events import Stream
from envkit.base.paths import Paths
from envkit.config.models import Environment, Service
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes.base import Opening, Renewing, RuntimeKind
from envkit.drivers.runtimes.sites import Recorded, Search, Sites

if TYPE_CHECKING:
    from envkit.drivers.runtimes.containers import Containers
    from envkit.drivers.runtimes.networks import Networks
    from envkit.drivers.supply.images import Images
    from envkit.planning.values import ThisHost


@dataclass
class EngineBackend:
    """The backend of an environment on a container engine; implements `base.Backend` and `base.OnEngine`."""

    opening: Opening
    endpoint: Endpoint

    @property
    def engine(self) -> str:
        """`docker` or `podman`."""
        return self.endpoint.engine

    @property
    def engine_url(self) -> str:
        """The engine's address."""
        return self.endpoint.url

    @property
    def where(self) -> str:
        """A description of the engine for people."""
        return str(self.endpoint)

    @property
    def arch(self) -> str:
        """The architecture of the engine's machine, `amd64` or `arm64`."""
        return self.endpoint.arch

    @cached_property
    def runtime(self) -> Containers:
        """The runtime that runs services as containers, created on first use."""
        from envkit.drivers.runtimes.containers import Containers

        return Containers(self.endpoint, self.opening.claim, self.opening.cancel)

    @cached_property
    def networks(self) -> Networks:
        """The engine's networks, created on first use."""
        from envkit.drivers.runtimes.networks import Networks

        return Networks(self.runtime.api, self.opening.claim)

    @cached_property
    def supply(self) -> Images:
        """The engine's images, created on first use."""
        from envkit.drivers.supply.images import Images

        return Images(self.runtime.api, self.engine, self.opening.environment.mirrors)

    def check(self) -> None:
        """Raise `EngineError` if this host cannot reach the ports that the engine publishes."""
        from envkit.drivers.engine import reach

        reach.check(self.endpoint)

    def this_host(self) -> ThisHost:
        """Return the address at which containers reach this host, and the address on which to listen for them."""
        from envkit.drivers.runtimes.this_host import this_host

        return this_host(self.endpoint, lambda: self.networks.gateway(self.opening.environment.name))

    def lacking(self, _service: Service) -> str:
        """Return an empty string: an image contains all its programs."""
        return ""

    @property
    def api(self) -> Any:
        """The client of the engine's SDK."""
        return self.runtime.api

    def connect(self, seconds: int) -> Any:
        """Return another client of the SDK, with a timeout of `seconds` for each call."""
        from envkit.drivers.engine.sdk import connect

        return connect(self.endpoint, seconds)


@contextmanager
def entered(
    environment: Environment, environ: Mapping[str, str], paths: Paths, stream: Stream
) -> Iterator[Endpoint]:  # fmt: skip
    """Find the engine that the environment requests and yield its address. Raises `EngineError` if that fails."""
    from envkit.drivers.engine.podman_service import engine

    with engine(environment.engine, environ, paths, stream) as endpoint:
        yield endpoint


def sites(search: Search) -> Sites:
    """Return the engines that answer."""
    from envkit.drivers.runtimes.engine_site import find

    return find(search)


def reopened(recorded: Recorded) -> AbstractContextManager[Renewing]:
    """Return a context that yields the runtime on the recorded engine."""
    from envkit.drivers.runtimes.engine_site import reopen

    return reopen(recorded)


RUNTIME = RuntimeKind(entered, lambda opening: EngineBackend(opening, opening.address), sites, reopened)
