"""`up` on the engine in memory: what is made, kept, replaced, proved, and taken back when it fails."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import (
    Cancelled,
    ClusterError,
    EngineError,
    EnvironmentFailed,
    HolderError,
    NotReady,
    NotUp,
    PortTaken,
    ServiceDied,
    StepsFailed,
    UsageError,
)
from envkit.base.events import Event, Kind
from envkit.base.ports import Holder, accepts
from envkit.base.waiting import Cancel
from envkit.drivers.clusters.nodes import ClusterFacts
from envkit.drivers.runtimes.fake import FakeEngine, Script
from envkit.inventory import state
from envkit.operations import env as env_verb
from envkit.operations.effects import proof
from tests.support.fake_session import Session, opened
from tests.support.operations import logs, make_plan, restart, status, up
from tests.support.ports import free
from tests.unit.wants import environment

EXEC = {"probe": {"type": "exec", "command": ["ready?"]}}
ALWAYS = {"ENVKIT_ENVIRONMENT": "t", "ENVKIT_HOST_ADDRESS": "172.18.0.1", "ENVKIT_HOST_LISTEN": "172.18.0.1"}
TCP = {"probe": {"type": "tcp"}, "ports": {"main": {"container": 80, "host": "auto"}}}


@dataclass
class FakeKind:
    """A cluster of which nothing is there, and whose creation does what a test says."""

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
    """A machine with a fake engine on it, and envkit's home."""

    home: Path
    engine: FakeEngine = field(default_factory=FakeEngine)
    events: list[Event] = field(default_factory=list)
    kind: FakeKind = field(default_factory=FakeKind)

    def open(self, services: Mapping[str, Any], *, cancel: Cancel | None = None, **fields: Any) -> Session:
        env = environment(services, **fields)
        return opened(env, self.home, self.engine, sink=self.events.append, cancel=cancel, kind=self.kind)

    def did(self) -> dict[str, str]:
        """The last thing told of each step."""
        return {event.step: event.kind.value for event in self.events if event.step}

    def notes(self) -> str:
        return "\n".join(event.message for event in self.events if event.kind is Kind.NOTE)

    def asked(self, what: str) -> list[str]:
        return [which for did, which in self.engine.calls if did == what]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.engine.images.there["i"] = "sha256:i"
    yield made
    made.engine.close()


def ids(world: World) -> dict[str, str]:
    return {found.service: found.id for found in world.engine.observe("t")}


# Up


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


# Waiting and proof


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
    """Between the check and the bind: the program's own words alone would name nobody."""
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

    with pytest.raises(EnvironmentFailed, match=r"memory limit of 64 ?MiB; its .* says max"):
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


# The way back


def test_a_failed_up_takes_back_only_what_it_made(world: World) -> None:
    up(world.open({"old": EXEC}))
    before = ids(world)
    world.engine.stranger("bystander")
    world.engine.scripts["bad"] = Script(dies=0.0, exit_code=1)

    with pytest.raises(ServiceDied):
        up(world.open({"old": EXEC, "good": EXEC, "bad": EXEC}))

    assert ids(world) == before
    assert "bystander" in world.engine.names()
    assert world.engine.networks.there == {"envkit-t": "t"}
    assert "taking down what this run made" in world.notes()


def test_a_failed_first_up_leaves_nothing_but_evidence(world: World) -> None:
    world.engine.scripts["bad"] = Script(dies=0.0, exit_code=1, log="last words\n")
    session = world.open({"good": EXEC, "bad": {**EXEC, "needs": ["good"]}})

    with pytest.raises(ServiceDied):
        up(session)

    assert world.engine.names() == []
    assert world.engine.networks.there == {}
    assert not session.paths.folder.exists()
    (folder,) = session.paths.evidence.iterdir()
    assert "last words" in (folder / "logs/bad.log").read_text()
    assert (folder / "index.md").read_text().startswith("# verdict: the environment's fault (certain): a service died")
    assert f"evidence in {folder}" in world.notes()


def test_evidence_is_gathered_before_anything_is_taken_down(world: World) -> None:
    world.engine.scripts["bad"] = Script(dies=0.0, exit_code=1, log="x\n")

    with pytest.raises(ServiceDied):
        up(world.open({"bad": EXEC}))

    calls = [what for what, which in world.engine.calls if which == "bad"]
    assert calls.index("remove") > len(calls) - 1 - calls[::-1].index("logs")


def test_keep_leaves_all_as_it_is(world: World) -> None:
    world.engine.scripts["bad"] = Script(dies=0.0, exit_code=1)

    with pytest.raises(ServiceDied):
        up(world.open({"good": EXEC, "bad": {**EXEC, "needs": ["good"]}}), keep=True)

    assert set(ids(world)) == {"good", "bad"}
    assert world.engine.networks.there == {"envkit-t": "t"}
    assert "--keep" in world.notes()


def test_after_a_kept_failure_the_next_up_goes_on_from_there(world: World) -> None:
    world.engine.scripts["bad"] = Script(dies=0.0, exit_code=1)
    services = {"good": EXEC, "bad": {**EXEC, "needs": ["good"]}}
    with pytest.raises(ServiceDied):
        up(world.open(services), keep=True)
    good = ids(world)["good"]
    del world.engine.scripts["bad"]

    outcome = up(world.open(services))

    assert ids(world)["good"] == good
    assert [step.id for step in outcome.plan.changes] == ["prepare", "bad"]


def test_several_failures_are_told_together(world: World) -> None:
    meet = threading.Barrier(2)

    class Meeting(FakeEngine):
        def start(self, unit: Any) -> Any:
            meet.wait(10)
            raise EngineError(f"no room for {unit.name}")

    world.engine = Meeting(images=world.engine.images)

    with pytest.raises(StepsFailed, match="2 steps failed") as caught:
        up(world.open({"a": EXEC, "b": EXEC}))

    assert "no room for a" in caught.value.message
    assert "no room for b" in caught.value.message


def test_an_engine_that_goes_away_is_the_error_that_is_told(world: World) -> None:
    """What goes wrong on the way back is noted beside it, and does not take its place."""

    class Leaving(FakeEngine):
        def execute(self, instance: Any, argv: Any) -> tuple[int, str]:
            self.broken = "the daemon stopped"
            raise EngineError("the daemon stopped while it was asked")

    world.engine = Leaving(images=world.engine.images)

    with pytest.raises(EngineError, match="the daemon stopped") as caught:
        up(world.open({"a": EXEC}))

    assert re.search(r"stopped answering at [\d:]{8}: the daemon stopped", caught.value.message)
    assert caught.value.detail == "a failed of it: look a: the engine did not answer: the daemon stopped"
    assert "while taking down: remove a: the engine did not answer" in world.notes()


def test_a_signal_in_the_middle_takes_all_back_and_has_its_code(world: World) -> None:
    world.engine.scripts["slow"] = Script(ready=math.inf)
    cancel = Cancel()
    threading.Timer(0.3, cancel.set, [15]).start()
    began = time.monotonic()

    with pytest.raises(Cancelled) as caught:
        up(world.open({"quick": EXEC, "slow": EXEC}, cancel=cancel))

    assert caught.value.exit_code == 143
    assert time.monotonic() - began < 15
    assert world.engine.names() == []
    assert world.engine.networks.there == {}


def test_a_cluster_that_fails_is_deleted_and_with_keep_is_not(world: World) -> None:
    def fail() -> None:
        raise ClusterError("kind ended with 1")

    world.kind.creates = fail
    for keep in (False, True):
        world.kind.calls.clear()
        with pytest.raises(ClusterError, match="kind ended with 1"):
            up(world.open({}, cluster={"type": "kind"}), keep=keep)
        assert world.kind.calls == ["check", "create", *([] if keep else ["delete"])]


# Ports and holders


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


# Afterwards


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


def _free(below: int = 65535) -> int:
    import socket

    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0 if below > 60000 else 10000 + time.monotonic_ns() % (below - 10000)))
            return int(probe.getsockname()[1])
