"""Tests of `up` on the fake engine: how it waits for services, and its errors for services that are never ready."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from envkit.base.errors import (
    EnvironmentFailed,
    NotReady,
    PortTaken,
    ServiceDied,
)
from envkit.base.ports import Holder
from envkit.drivers.runtimes.fake import Script
from envkit.operations.effects import proof
from tests.support.operations import up
from tests.support.ports import free
from tests.unit.operations.world import EXEC, TCP, World, ids


def test_a_slow_service_is_waited_for_and_its_dependents_with_it(world: World) -> None:
    world.engine.scripts["db"] = Script(ready=0.3)

    outcome = up(world.open({"db": EXEC, "api": {**EXEC, "needs": ["db"]}}))

    assert outcome.times["db"] > 0.25
    calls = world.engine.calls
    assert calls.index(("start", "api")) > calls.index(("start", "db"))
    assert any(event.message == "waiting: ready? ended with 1: not ready yet" for event in world.events)


def test_a_service_that_never_gets_ready_tells_expectation_last_answer_and_log(world: World) -> None:
    world.engine.scripts["db"] = Script(ready=math.inf, log="booting\nstill booting\n")

    with pytest.raises(NotReady) as caught:
        up(world.open({"db": {**EXEC, "timeout": "200ms"}}))

    assert "db should give exit code 0 from `ready?`: not within 0.2 s" in caught.value.message
    assert "last seen: ready? ended with 1: not ready yet" in caught.value.message
    assert "still booting" in caught.value.detail
    assert caught.value.hint
    assert world.engine.names() == []


@pytest.mark.parametrize(("probe", "dies"), [(EXEC, 0.0), (EXEC, 0.1), (TCP, 0.0), (TCP, 0.1), ({}, 0.0)])
def test_a_service_that_dies_is_told_at_once_with_code_and_last_lines(
    world: World, probe: dict[str, Any], dies: float
) -> None:
    world.engine.scripts["db"] = Script(ready=math.inf, dies=dies, exit_code=3, log="fatal: no space\n")
    began = time.monotonic()

    with pytest.raises(ServiceDied, match="db exited with 3") as caught:
        up(world.open({"db": {**probe, "timeout": "60s"}}))

    assert time.monotonic() - began < 10
    assert "fatal: no space" in caught.value.detail
    assert caught.value.exit_code == 3


def test_a_death_for_a_port_that_was_taken_meanwhile_names_its_holder(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port is taken between the check and the bind; the program's own message does not name the process."""
    monkeypatch.setattr(proof, "holders", lambda ports, _containers: [Holder(port, 4242, "thief") for port in ports])
    world.engine.scripts["db"] = Script(ready=math.inf, dies=0.05, exit_code=1, log="bind: in use\n")
    (port,) = free()

    with pytest.raises(PortTaken, match=rf"port {port} \(wanted by db\) is held by process 4242 \(thief\)") as caught:
        up(world.open({"db": {**EXEC, "ports": {"x": {"container": 1, "host": port}}}}))

    assert "bind: in use" in caught.value.detail and "--port-offset" in caught.value.hint


def test_a_death_for_want_of_memory_says_so_and_what_to_give(world: World) -> None:
    world.engine.scripts["db"] = Script(ready=math.inf, dies=0.05, oom=True)

    with pytest.raises(ServiceDied, match="ran out of memory") as caught:
        up(world.open({"db": {**EXEC, "memory": "64MiB"}}))

    assert "services.db.memory" in caught.value.hint


def test_a_limit_that_the_engine_ignores_is_an_error(world: World) -> None:
    world.engine.scripts["db"] = Script(answers={("cat", "/sys/fs/cgroup/memory.max"): (0, "max\n")})

    with pytest.raises(EnvironmentFailed, match=r"memory limit of 64 ?MiB; its .* has max"):
        up(world.open({"db": {**EXEC, "memory": "64MiB"}}))


def test_the_first_proof_is_asked_once_at_creation(world: World) -> None:
    services = {"db": {**EXEC, "first_probe": {"type": "exec", "command": ["first"]}}}

    up(world.open(services))
    up(world.open(services))

    assert world.asked("execute").count("first") == 1
    assert world.asked("execute").count("ready?") > 1


def test_a_service_that_dies_while_others_come_up_is_no_success(world: World) -> None:
    world.engine.scripts |= {"db": Script(dies=0.2, exit_code=9), "slow": Script(ready=0.5)}

    with pytest.raises(EnvironmentFailed, match="db was ready, but exited with 9"):
        up(world.open({"db": EXEC, "slow": EXEC}))

    assert world.engine.names() == []


@pytest.mark.parametrize("code", [0, 4])
def test_a_one_shot_is_judged_by_its_code(world: World, code: int) -> None:
    world.engine.scripts["job"] = Script(dies=0.05, exit_code=code, log="its words\n")
    session = world.open({"job": {"once": True}, "api": {**EXEC, "needs": ["job"]}})

    if code == 0:
        up(session)
        assert set(ids(world)) == {"job", "api"}
    else:
        with pytest.raises(ServiceDied, match="job exited with 4") as caught:
            up(session)
        assert "its words" in caught.value.detail
        assert world.asked("start") == ["job"]


def test_a_one_shot_that_does_not_end_meets_its_deadline(world: World) -> None:
    world.engine.scripts["job"] = Script(log="working\n")

    with pytest.raises(NotReady, match=r"job to end: not within 0\.2 s") as caught:
        up(world.open({"job": {"once": True, "timeout": "200ms"}}))

    assert "working" in caught.value.detail


def test_a_host_command_that_fails_shows_its_output_and_code(world: World) -> None:
    job = {"host_command": ["sh", "-c", "echo because; exit 7"], "once": True}

    with pytest.raises(ServiceDied, match="ended with 7") as caught:
        up(world.open({"job": job}, root=str(world.home)))

    assert "because" in caught.value.detail
