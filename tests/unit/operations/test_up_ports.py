"""Tests of `up` with taken ports, other checkouts and concurrent calls, on the fake engine."""

from __future__ import annotations

import threading
import time

import pytest

from envkit.base.errors import (
    EngineError,
    HolderError,
    PortTaken,
)
from envkit.base.ports import accepts
from envkit.drivers.runtimes.fake import Script
from tests.support.operations import up
from tests.unit.operations.world import ALWAYS, EXEC, TCP, World, ids


def test_a_port_of_somebody_elses_container_is_named_before_anything_is_made(world: World) -> None:
    port = world.engine.stranger("web", port=_free()).published[80]
    fixed = {**TCP, "ports": {"main": {"container": 80, "host": port}}}

    with pytest.raises(PortTaken, match=rf"port {port} \(wanted by b\) is held by container web") as caught:
        up(world.open({"a": EXEC, "b": fixed}))

    assert "--port-offset" in caught.value.hint
    assert world.asked("start") == []
    assert world.engine.networks.there == {}


def test_our_own_ports_are_no_obstacle_to_a_replacement(world: World) -> None:
    port = _free()
    fixed = {**TCP, "ports": {"main": {"container": 80, "host": port}}}
    up(world.open({"a": fixed}))

    up(world.open({"a": {**fixed, "env": {"X": "1"}}}))

    assert [it.published for it in world.engine.observe("t")] == [{80: port}]


def test_the_offset_moves_ports_and_variables(world: World) -> None:
    port = _free(below=20000)
    fixed = {
        "probe": TCP["probe"],
        "ports": {"main": {"container": 80, "host": port}},
        "exports": {"P": "${self.port}"},
    }

    outcome = up(world.open({"a": fixed}, port_offset=10000))

    assert outcome.record.variables == {"P": str(port + 10000), **ALWAYS}
    assert accepts(port + 10000)


def test_another_checkout_is_told_where_the_first_is(world: World) -> None:
    up(world.open({"a": EXEC}))
    before = ids(world)

    with pytest.raises(HolderError, match=r"/here.*/there") as caught:
        up(world.open({"a": EXEC}, root="/there"))

    assert "--name" in caught.value.hint
    assert caught.value.exit_code == 2
    assert ids(world) == before


def test_a_strangers_network_of_the_same_name_is_an_error(world: World) -> None:
    world.engine.networks.there["envkit-t"] = ""

    with pytest.raises(EngineError, match="not envkit's"):
        up(world.open({"a": EXEC}))

    assert world.engine.networks.there == {"envkit-t": ""}


def test_two_ups_at_once_make_one_environment(world: World) -> None:
    services = {"a": {**EXEC, "needs": []}, "b": EXEC}
    world.engine.scripts["a"] = Script(takes=0.2)
    outcomes: list[int] = []

    def work() -> None:
        outcomes.append(len(up(world.open(services)).plan.changes))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(outcomes) == [0, 3]
    assert sorted(world.asked("start")) == ["a", "b"]
    assert "another envkit is working" in world.notes()


def _free(below: int = 65535) -> int:
    import socket

    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0 if below > 60000 else 10000 + time.monotonic_ns() % (below - 10000)))
            return int(probe.getsockname()[1])
