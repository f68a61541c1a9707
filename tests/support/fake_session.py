"""Opens an environment on the fake engine, as `envkit.cli.context.opened` does on a real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envkit.base.caller import Caller
from envkit.base.control import Control
from envkit.base.events import Sink, Stream
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.config.models import Environment, Service
from envkit.drivers.engine import reach
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes.fake import FakeEngine
from envkit.drivers.runtimes.fake_supply import FakeImages, FakeNetworks
from envkit.drivers.runtimes.this_host import this_host
from envkit.inventory.drivers import Drivers
from envkit.operations.port_placement import Placement
from envkit.planning.values import ThisHost


@dataclass
class Session:
    """As `envkit.cli.context.Opened`, with its drivers at hand."""

    environment: Environment
    paths: Paths
    drivers: Drivers
    control: Control
    placement: Placement = field(default_factory=Placement)
    up_command: str = "up"
    asked: Mapping[str, str] = field(default_factory=dict)

    @property
    def cancel(self) -> Cancel:
        return self.control.cancel

    @property
    def stream(self) -> Stream:
        return self.control.stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.drivers, name)


@dataclass
class FakeBackend:
    """The backend of the fake engine; see `envkit.drivers.runtimes.base.Backend`."""

    environment: Environment
    runtime: FakeEngine
    arch: str = "amd64"

    @property
    def endpoint(self) -> Endpoint:
        return self.runtime.endpoint

    @property
    def engine(self) -> str:
        return self.endpoint.engine

    @property
    def engine_url(self) -> str:
        return self.endpoint.url

    @property
    def where(self) -> str:
        return str(self.endpoint)

    @property
    def networks(self) -> FakeNetworks:
        return self.runtime.networks

    @property
    def supply(self) -> FakeImages:
        return self.runtime.images

    def check(self) -> None:
        reach.check(self.endpoint)

    def this_host(self) -> ThisHost:
        return this_host(self.endpoint, lambda: self.networks.gateway(self.environment.name))

    def lacking(self, _service: Service) -> str:
        return ""


def opened(
    environment: Environment,
    home: Path,
    engine: FakeEngine,
    *,
    sink: Sink | None = None,
    cancel: Cancel | None = None,
    kind: Any = None,
    environ: Mapping[str, str] | None = None,
) -> Session:
    """What `envkit.cli.context.opened` gives on a real engine.

    The parts that `Drivers` opens when first asked for are put there beforehand, which is what
    `functools.cached_property` documents its storage for.
    """
    paths, control = Paths(home, environment.name), Control(cancel or Cancel(), Stream([sink] if sink else []))
    drivers = Drivers(
        environment, paths, "containers", engine.endpoint, Caller(environ or {}, home / "cache"), control.cancel
    )
    engine.claim = drivers.claim
    vars(drivers)["backend"] = FakeBackend(environment, engine)
    if kind is not None:
        vars(drivers)["cluster"] = kind
    return Session(environment, paths, drivers, control)
