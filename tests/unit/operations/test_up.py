"""Tests of `up` on the fake engine: the parts that it makes, keeps and replaces, and the record that it writes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from envkit.base.errors import (
    EnvironmentFailed,
    UsageError,
)
from envkit.base.ports import accepts
from envkit.drivers.runtimes.fake import Script
from envkit.inventory import state
from tests.support.operations import make_plan, status, up
from tests.unit.operations.world import ALWAYS, EXEC, TCP, World, ids


def test_up_from_nothing_makes_proves_and_remembers(world: World) -> None:
    exports = {"exports": {"API": "http://${self.address}/", "DB": "${db.port}"}}
    session = world.open({"db": TCP, "api": {**TCP, **exports, "needs": ["db"]}}, exports={"OWN": "${env.name}"})

    outcome = up(session)

    found = {it.service: it for it in world.engine.observe("t")}
    assert set(found) == {"db", "api"}
    assert outcome.from_nothing
    assert set(outcome.times) == {"network", "db", "api"}
    assert outcome.record.variables == {
        "API": f"http://127.0.0.1:{found['api'].published[80]}/",
        "DB": str(found["db"].published[80]),
        "OWN": "t",
        **ALWAYS,
    }
    assert state.read(session.paths) == outcome.record
    assert world.engine.networks.there == {"envkit-t": "t"}
    assert all(accepts(it.published[80]) for it in found.values())


@pytest.mark.parametrize(
    ("asked", "selected", "standing"),
    [
        ([["db"]], ("db",), "up in part (1 of 3)"),
        ([["api"]], ("api", "db"), "up in part (2 of 3)"),
        ([["db"], ["cache"]], ("cache", "db"), "up in part (2 of 3)"),
        ([["db"], ["cache", "api"]], (), "up"),
        ([["db"], []], (), "up"),
        ([[], ["db"]], (), "up"),
        ([[]], (), "up"),
    ],
)
def test_what_was_asked_for_is_remembered(
    world: World, asked: list[list[str]], selected: tuple[str, ...], standing: str
) -> None:
    services = {"db": TCP, "cache": TCP, "api": {**TCP, "needs": ["db"]}}
    for names in asked:
        record = up(world.open(services), names).record
    assert (record.selected, record.standing) == (selected, standing)
    assert state.read(world.open(services).paths) == record
    seen = status(world.open(services))
    assert (seen.up, seen.standing) == (True, standing)


def test_everything_that_was_up_before_and_is_gone_does_not_count(world: World) -> None:
    services = {"db": TCP, "api": TCP}
    up(world.open(services))
    for instance in world.engine.observe("t"):
        world.engine.remove(instance)
    world.engine.networks.remove_all("t")
    assert up(world.open(services), ["db"]).record.standing == "up in part (1 of 2)"


def test_a_part_of_which_something_ended_is_not_up(world: World) -> None:
    services = {"db": TCP, "cache": TCP, "api": TCP}
    up(world.open(services), ["db", "cache"])
    world.engine.remove(next(it for it in world.engine.observe("t") if it.service == "db"))
    seen = status(world.open(services))
    assert (seen.up, seen.standing) == (False, "not up")


def test_a_second_up_keeps_everything(world: World) -> None:
    services = {"db": TCP, "job": {"once": True, "command": ["true"], "needs": ["db"]}, "api": EXEC}
    up(world.open(services))
    before = ids(world)
    world.engine.calls.clear()

    outcome = up(world.open(services))

    assert ids(world) == before
    assert outcome.plan.changes == ()
    assert not outcome.from_nothing
    assert not world.asked("start")
    assert not world.asked("remove")


def test_drift_replaces_what_changed_and_what_needs_it_only(world: World) -> None:
    services: dict[str, Any] = {"db": EXEC, "api": {**EXEC, "needs": ["db"]}, "other": EXEC}
    up(world.open(services))
    before = ids(world)

    up(world.open({**services, "db": {**EXEC, "env": {"NEW": "1"}}}))

    after = ids(world)
    assert after["other"] == before["other"]
    assert after["db"] != before["db"]
    assert after["api"] != before["api"]


def test_a_service_that_died_is_replaced(world: World) -> None:
    up(world.open({"db": TCP, "api": EXEC}))
    before = ids(world)
    world.engine.kill("db")

    outcome = up(world.open({"db": TCP, "api": EXEC}))

    told = {step.id: step.reason for step in outcome.plan.changes}
    assert told == {"prepare": "before db is removed", "db": "exited with 137"}
    assert ids(world)["db"] != before["db"]
    assert ids(world)["api"] == before["api"]


def test_a_stray_is_removed_and_a_part_leaves_the_rest_alone(world: World) -> None:
    up(world.open({"db": EXEC, "old": EXEC}))

    up(world.open({"db": EXEC, "new": EXEC}), ["db"])
    assert set(ids(world)) == {"db", "old"}
    up(world.open({"db": EXEC, "new": EXEC}))
    assert set(ids(world)) == {"db", "new"}


def test_a_part_is_brought_up_with_what_it_needs(world: World) -> None:
    up(world.open({"a": {**EXEC, "needs": ["b"]}, "b": EXEC, "c": EXEC}), ["a"])

    assert set(ids(world)) == {"a", "b"}


def test_an_unknown_service_touches_nothing(world: World) -> None:
    with pytest.raises(UsageError, match="no service named x"):
        up(world.open({"a": EXEC}), ["x"])

    assert world.engine.names() == []
    assert world.engine.networks.there == {}


def test_a_plan_changes_nothing(world: World) -> None:
    session = world.open({"a": EXEC, "b": EXEC})

    steps, _, _ = make_plan(session)

    assert [step.id for step in steps.changes] == ["network", "a", "b"]
    assert world.engine.names() == []
    assert not session.paths.folder.exists()


def test_independent_services_start_side_by_side(world: World) -> None:
    names = [f"s{number}" for number in range(4)]
    for name in names:
        world.engine.scripts[name] = Script(takes=0.3)
    began = time.monotonic()

    outcome = up(world.open(dict.fromkeys(names, EXEC)))

    starts = sum(outcome.times[name] for name in names)
    assert starts > 1.2
    assert time.monotonic() - began < starts


def test_an_image_is_pulled_once_and_the_service_made_from_it(world: World) -> None:
    world.engine.images.registry["far:1"] = "sha256:far"
    far = {**EXEC, "image": ["near:1", "far:1"]}

    up(world.open({"a": far}))

    assert world.asked("pull") == ["near:1", "far:1"]
    assert [it.image for it in world.engine.observe("t")] == ["far:1"]
    assert up(world.open({"a": far})).plan.changes == ()


def test_an_image_that_nobody_has_fails_with_every_name_and_leaves_nothing(world: World) -> None:
    with pytest.raises(EnvironmentFailed, match=r"nowhere:1: not found"):
        up(world.open({"a": {**EXEC, "image": ["nowhere:1"]}}))

    assert world.engine.names() == []
    assert world.engine.networks.there == {}


def test_a_one_shot_of_the_host_runs_with_the_variables_and_once(world: World) -> None:
    marks = world.home / "marks"
    job = {
        "host_command": ["sh", "-c", f'echo "$WHERE $ENVKIT_ENV" >> {marks}'],
        "once": True,
        "env": {"WHERE": "${db.port}"},
        "needs": ["db"],
    }
    services = {"db": TCP, "job": job}

    up(world.open(services, root=str(world.home)))
    up(world.open(services, root=str(world.home)))

    assert marks.read_text() == f"{world.engine.observe('t')[0].published[80]} t\n"
