"""Opens an environment on the fake engine, as `envkit.cli.context.opened` does on a real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envkit.base.events import Sink, Stream
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.config.models import Environment, Service
from envkit.drivers.engine import reach
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes.fake import FakeEngine
from envkit.drivers.runtimes.fake_supply import FakeImages, FakeNetworks
from envkit.drivers.runtimes.this_host import this_host
from envkit.inventory.session import Session
from envkit.planning.values import ThisHost


@dataclass
class FakeBackend:
    """The backend of the fake engine; see `envkit.drivers.runtimes.base.Backend`."""

    session: Session
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
        return this_host(self.endpoint, lambda: self.networks.gateway(self.session.environment.name))

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
    """Return a session on the fake engine.

    It sets the cached properties of the `Session` beforehand. The documentation of `functools.cached_property` allows
    this.
    """
    made = Session(
        environment, Paths(home, environment.name), engine.endpoint, Stream([sink] if sink else []),
        cancel or Cancel(), environ or {}, home / "cache",
    )  # fmt: skip
    engine.claim = made.claim
    vars(made)["backend"] = FakeBackend(made, engine)
    if kind is not None:
        vars(made)["cluster"] = kind
    return made
