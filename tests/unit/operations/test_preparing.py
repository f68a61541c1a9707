"""Tests of failed prerequisites on the fake engine: `up` starts, removes and pauses nothing."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import (
    ClusterError,
    EngineStopped,
    EnvkitError,
    ImageUnavailable,
    PortTaken,
    ReplacementRefused,
    ServiceDied,
    StepsFailed,
    ToolMissing,
)
from envkit.base.waiting import Cancel
from envkit.config.models import Cluster
from envkit.drivers.clusters.nodes import ClusterFacts, Node
from envkit.drivers.runtimes.fake import FakeEngine, Script
from envkit.inventory import state
from tests.support.fake_session import Session, opened
from tests.support.operations import make_plan, up
from tests.support.ports import free
from tests.unit.wants import environment

CHANGED = {"env": {"CHANGED": "1"}}


@dataclass
class OneKind:
    """An existing cluster with another configuration; its tools or its image may be missing."""

    tools: EnvkitError | None = None
    image: EnvkitError | None = None
    facts: ClusterFacts = field(default_factory=ClusterFacts)
    calls: list[str] = field(default_factory=list)

    def observe(self) -> ClusterFacts:
        return self.facts

    def check_tools(self) -> None:
        self._say("tools", self.tools)

    def prepare(self, _cluster: Cluster, _report: Any, _cancel: Cancel) -> None:
        self._say("prepare", self.image)

    def delete(self) -> None:
        self._say("delete", None)

    def _say(self, what: str, error: EnvkitError | None) -> None:
        self.calls.append(what)
        if error:
            raise error


@dataclass
class World:
    """A machine with an environment that is up."""

    home: Path
    engine: FakeEngine
    kind: OneKind

    def open(self, services: Mapping[str, Any], **fields: Any) -> Session:
        return opened(environment(services, **fields), self.home, self.engine, kind=self.kind)

    def up(self, services: Mapping[str, Any], **fields: Any) -> None:
        up(self.open(services, **fields))
        self.engine.calls.clear()

    def fails(self, services: Mapping[str, Any], error: type[EnvkitError], **fields: Any) -> EnvkitError:
        """Run an `up` that must fail and change nothing, and return its error."""
        before = {it.service: (it.id, it.state) for it in self.engine.observe("t")}
        record = (self.home / "t" / "state.json").read_text()
        with pytest.raises(error) as caught:
            up(self.open(services, **fields))
        assert {it.service: (it.id, it.state) for it in self.engine.observe("t")} == before
        touched = {what for what, _ in self.engine.calls} & {"start", "remove", "network create", "resume"}
        assert not touched, self.engine.calls
        assert "delete" not in self.kind.calls
        assert (self.home / "t" / "state.json").read_text() == record
        return caught.value


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    engine = FakeEngine()
    engine.images.there["i"] = "sha256:i"
    yield World(tmp_path, engine, OneKind())
    engine.close()


def test_an_image_that_cannot_be_pulled(world: World) -> None:
    world.up({"db": {}, "api": {"needs": ["db"]}})

    error = world.fails({"db": CHANGED, "api": {"image": ["nowhere/x:1"], "needs": ["db"]}}, ImageUnavailable)

    assert "nowhere/x:1" in error.message


def test_a_build_that_fails(world: World, tmp_path: Path) -> None:
    (tmp_path / "ctx").mkdir()
    (tmp_path / "ctx/Dockerfile").write_text("FROM i\nRUN false\n")
    world.up({"db": {}, "api": {}})

    error = world.fails({"db": CHANGED, "api": {"build": {"context": str(tmp_path / "ctx")}}}, ImageUnavailable)

    assert "building" in error.message


def test_a_port_that_a_stranger_holds(world: World) -> None:
    (port,) = free()
    world.up({"db": {}, "api": {}})

    with socket.create_server(("127.0.0.1", port)):
        error = world.fails({"db": CHANGED, "api": {"ports": {"main": {"container": 80, "host": port}}}}, PortTaken)

    assert f"port {port} (wanted by api) is held by process" in error.message


def test_a_port_that_a_service_holds_which_stays(world: World) -> None:
    (port,) = free()
    held = {"ports": {"main": {"container": 80, "host": port}}}
    world.up({"keeps": held, "db": {}})

    with pytest.raises(PortTaken, match="envkit-t-keeps"):
        up(world.open({"keeps": held, "db": {**CHANGED, **held}}), ["db"])

    assert not [what for what, _ in world.engine.calls if what in ("start", "remove")]


def test_a_port_of_what_the_plan_removes_is_taken_over(world: World) -> None:
    (port,) = free()
    held = {"ports": {"main": {"container": 80, "host": port}}}
    world.up({"old": held})

    up(world.open({"new": held}))

    assert [it.service for it in world.engine.observe("t")] == ["new"]


def test_a_program_of_a_one_shot_on_this_host(world: World) -> None:
    world.up({"db": {}})

    error = world.fails({"db": CHANGED, "job": {"host_command": ["no-such-program"], "once": True}}, ToolMissing)

    assert error.message == "job: no-such-program is not installed or not on PATH"


def test_migrations_and_references_are_told_together(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "001_x.sql").write_text("CREATE TABLE x ();\n")  # no section Up
    asked = {"type": "postgres", "user": "u", "password": "p", "database": "d"}
    probe = {"probe": asked, "ports": {"main": {"container": 80, "host": "auto"}}}
    world.up({"db": {}, "pg": {}})
    token = {"env": {"TOKEN": "${identity.x.token}"}}
    services = {
        "db": {**CHANGED, **token},
        "pg": probe,
        "m": {"migrations": {"folder": str(folder), "service": "pg"}, "once": True, "needs": ["pg"]},
    }
    world.kind.facts = ClusterFacts((Node("n", "control-plane", "running"),))  # unfinished

    error = world.fails(services, StepsFailed, cluster={"type": "kind", "identities": {"x": {"namespace": "default"}}})

    assert "m: the configuration has 1 fault" in error.message and "001_x.sql" in error.message
    assert "db uses the token of x" in error.message


def test_a_tool_that_is_missing_is_found_before_the_network_is_made(world: World) -> None:
    world.kind.tools = ToolMissing("kind is not installed or not on PATH")

    with pytest.raises(ToolMissing, match="kind is not"):
        up(world.open({"a": {}}, cluster={"type": "kind"}))

    assert world.kind.calls == ["tools"]
    assert not world.engine.networks.there
    assert world.engine.observe("t") == []
    assert not (world.home / "t").exists()


@pytest.mark.parametrize("lacking", ["tools", "image", "manifest"])
def test_a_cluster_is_deleted_only_when_the_next_can_be_made(world: World, lacking: str, tmp_path: Path) -> None:
    manifest = tmp_path / "x.yaml"
    manifest.write_text(
        "kind: [" if lacking == "manifest" else "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n"
    )
    world.up({"db": {}})
    setattr(world.kind, lacking, ClusterError(f"no {lacking}"))
    world.kind.facts = ClusterFacts((Node("n", "control-plane", "running"),), "other")
    assert make_plan(world.open({"db": {}}, cluster={"type": "none"}))[0].changes == ()

    world.kind.facts = ClusterFacts((Node("n", "control-plane", "exited"),), "other")
    cluster = {"type": "kind", "manifests": [str(manifest)]}
    error = world.fails({"db": CHANGED}, EnvkitError, cluster=cluster)

    assert (f"no {lacking}" if lacking != "manifest" else "x.yaml") in error.message


def test_an_image_whose_name_was_taken_away(world: World) -> None:
    world.up({"db": {}})
    del world.engine.images.there["i"]

    error = world.fails({"db": CHANGED}, ImageUnavailable)

    assert "i" in error.message


# What changed


def test_the_record_knows_what_each_service_was_made_from_and_no_value_of_it(world: World) -> None:
    world.up({"db": {"env": {"PASSWORD": "hunter2", "B": "1"}, "memory": "64MiB"}})
    changed = {"db": {"env": {"PASSWORD": "other", "C": "1"}, "memory": "64MiB"}}

    plan, _, _ = make_plan(world.open(changed))

    assert {step.id: step.reason for step in plan.changes}["db"] == "changed: env.B, env.C, env.PASSWORD"
    assert "hunter2" not in (world.home / "t" / "state.json").read_text()


def test_a_record_without_it_still_says_that_it_changed(world: World) -> None:
    world.up({"db": {}})
    session = world.open({"db": CHANGED})
    record = state.read(session.paths)
    assert record is not None and record.made["db"].fields
    session.paths.state.unlink()

    plan, _, _ = make_plan(session)

    assert {step.id: step.reason for step in plan.changes}["db"] == "its configuration or image changed"


def test_consent_is_asked_before_anything_is_done_and_its_refusal_ends_all(world: World) -> None:
    world.up({"db": {}})
    asked: list[str] = []

    def refuse(found: Any) -> None:
        asked.extend(map(str, found))
        raise ReplacementRefused("no")

    with pytest.raises(ReplacementRefused):
        up(world.open({"db": CHANGED}), consent=refuse)

    assert asked == ["db: changed: env.CHANGED"]
    assert not [what for what, _ in world.engine.calls if what in ("start", "remove")]


def test_nobody_is_asked_where_nothing_is_up(world: World) -> None:
    def never(_found: Any) -> None:
        raise AssertionError

    up(world.open({"db": {}}), consent=never)


# The engine stops


def test_an_engine_that_stopped_is_told_first_with_the_time_and_whatever_failed_of_it_is_not(world: World) -> None:
    class Leaving(FakeEngine):
        def start(self, unit: Any) -> Any:
            self.broken = "connection refused"
            raise ClusterError("the cluster could not be made", detail="kubeadm says\n" * 40)

    world.engine = Leaving(images=world.engine.images)

    with pytest.raises(EngineStopped) as caught:
        up(world.open({"a": {}, "b": {}}))

    first, second = caught.value.message.splitlines()
    assert re.fullmatch(r"docker at unix:\S+ stopped answering at \d\d:\d\d:\d\d: connection refused", first)
    assert second.startswith("what this run made could not be taken down, and may still be there: ")
    assert "kubeadm" not in caught.value.detail
    assert caught.value.exit_code == 3


def test_an_engine_that_answers_is_not_accused(world: World) -> None:
    world.engine.scripts["a"] = Script(dies=0.0, exit_code=1)

    with pytest.raises(ServiceDied):
        up(world.open({"a": {}}))
