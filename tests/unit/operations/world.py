"""A machine with a fake engine and a fake kind, and short configurations, for tests of `up`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envkit.base.events import Event, Kind
from envkit.base.waiting import Cancel
from envkit.drivers.clusters.nodes import ClusterFacts
from envkit.drivers.runtimes.fake import FakeEngine
from tests.support.fake_session import Session, opened
from tests.unit.wants import environment

EXEC = {"probe": {"type": "exec", "command": ["ready?"]}}
ALWAYS = {"ENVKIT_ENVIRONMENT": "t", "ENVKIT_HOST_ADDRESS": "172.18.0.1", "ENVKIT_HOST_LISTEN": "172.18.0.1"}
TCP = {"probe": {"type": "tcp"}, "ports": {"main": {"container": 80, "host": "auto"}}}


@dataclass
class FakeKind:
    """A cluster that does not exist yet; its creation calls the test's function."""

    creates: Callable[[], None] = lambda: None
    calls: list[str] = field(default_factory=list)

    def observe(self) -> ClusterFacts:
        return ClusterFacts()

    def check_tools(self) -> None:
        self.calls.append("check")

    def create(self, *_args: Any, **_kwargs: Any) -> None:
        self.calls.append("create")
        self.creates()

    def delete(self) -> None:
        self.calls.append("delete")


@dataclass
class World:
    """A machine with a fake engine and a temporary home of envkit."""

    home: Path
    engine: FakeEngine = field(default_factory=FakeEngine)
    events: list[Event] = field(default_factory=list)
    kind: FakeKind = field(default_factory=FakeKind)

    def open(self, services: Mapping[str, Any], *, cancel: Cancel | None = None, **fields: Any) -> Session:
        env = environment(services, **fields)
        return opened(env, self.home, self.engine, sink=self.events.append, cancel=cancel, kind=self.kind)

    def did(self) -> dict[str, str]:
        """Return the kind of the last event of each step."""
        return {event.step: event.kind.value for event in self.events if event.step}

    def notes(self) -> str:
        return "\n".join(event.message for event in self.events if event.kind is Kind.NOTE)

    def asked(self, what: str) -> list[str]:
        return [which for did, which in self.engine.calls if did == what]


def ids(world: World) -> dict[str, str]:
    return {found.service: found.id for found in world.engine.observe("t")}
