"""Tests of the commands after `up` on the fake engine: env, status, logs and restart."""

from __future__ import annotations

import math
from typing import Any

import pytest

from envkit.base.errors import (
    NotUp,
    ServiceDied,
    UsageError,
)
from envkit.drivers.runtimes.fake import Script
from envkit.inventory import state
from envkit.operations import env as env_verb
from tests.support.operations import logs, restart, status, up
from tests.unit.operations.world import EXEC, TCP, World, ids


def test_env_answers_what_up_told_and_notices_what_is_gone(world: World) -> None:
    session = world.open({"db": {**TCP, "exports": {"DB": "${self.port}"}}})
    outcome = up(session)

    assert env_verb.read(session.paths, "envkit up").variables == outcome.record.variables

    world.engine.kill("db")
    world.engine.observe("t")
    with pytest.raises(NotUp, match=r"does not answer any more: db\.main \(port \d+\)") as caught:
        env_verb.read(session.paths, "envkit up -n t")
    assert caught.value.hint == "`envkit up -n t` repairs it"
    assert caught.value.exit_code == 4


def test_status_tells_each_service(world: World) -> None:
    services = {"db": TCP, "job": {"once": True, "command": ["true"]}, "bad": EXEC, "later": EXEC}
    session = world.open(services)
    up(session, ["db", "job", "bad"])
    world.engine.kill("bad", 5)

    found = status(session)

    rows = {row.name: (row.state, row.health) for row in found.rows}
    assert rows == {
        "db": ("running", "ready"),
        "job": ("exited", "done"),
        "bad": ("exited", "exited with 5"),
        "later": ("absent", "-"),
    }
    assert found.there
    assert not found.up
    up(session)
    assert status(session).up


def test_logs_are_headed_by_the_service_when_there_are_several(world: World) -> None:
    world.engine.scripts |= {"a": Script(log="one\ntwo\n"), "b": Script(log="three\n")}
    session = world.open({"a": EXEC, "b": EXEC})
    up(session)
    lines: list[str] = []

    logs(session, [], 1, lines.append)
    assert sorted(lines) == ["a | two", "b | three"]
    lines.clear()
    logs(session, ["a"], 5, lines.append)
    assert lines == ["one", "two"]
    with pytest.raises(UsageError, match="no service named x"):
        logs(session, ["x"], None, lines.append)


def test_logs_of_what_is_not_up_is_an_error(world: World) -> None:
    with pytest.raises(NotUp) as caught:
        logs(world.open({"a": EXEC}), ["a"], None, lambda _line: None)

    assert caught.value.exit_code == 4


def test_restart_keeps_the_container_and_waits_until_it_works(world: World) -> None:
    session = world.open({"a": {**TCP, "exports": {"P": "${self.port}"}}})
    up(session)
    before = ids(world)

    restart(session, ["a"])

    assert ids(world) == before
    record = state.read(session.paths)
    assert record is not None
    assert record.variables["P"] == str(world.engine.observe("t")[0].published[80])


@pytest.mark.parametrize("probe", [EXEC, TCP, {}])
def test_a_restart_that_ends_in_death_says_so(world: World, probe: dict[str, Any]) -> None:
    session = world.open({"a": {**probe, "timeout": "5s"}})
    up(session)
    world.engine.scripts["a"] = Script(ready=math.inf, dies=0.0, exit_code=6, log="cannot\n")

    with pytest.raises(ServiceDied, match="a exited with 6") as caught:
        restart(session, ["a"])

    assert "cannot" in caught.value.detail
