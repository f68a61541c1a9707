"""Tests of a failed or cancelled `up` on the fake engine: it removes what it made, and keeps the evidence."""

from __future__ import annotations

import math
import re
import threading
import time
from typing import Any

import pytest

from envkit.base.errors import (
    Cancelled,
    ClusterError,
    EngineError,
    ServiceDied,
    StepsFailed,
)
from envkit.base.waiting import Cancel
from envkit.drivers.runtimes.fake import FakeEngine, Script
from tests.support.operations import up
from tests.unit.operations.world import EXEC, World, ids


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
    """envkit prints errors of the removal as notes; they do not replace the first error."""

    class Leaving(FakeEngine):
        def execute(self, instance: Any, argv: Any) -> tuple[int, str]:
            self.broken = "the daemon stopped"
            raise EngineError("the daemon stopped while it was asked")

    world.engine = Leaving(images=world.engine.images)

    with pytest.raises(EngineError, match="the daemon stopped") as caught:
        up(world.open({"a": EXEC}))

    assert re.search(r"stopped answering at [\d:]{8}: the daemon stopped", caught.value.message)
    assert caught.value.detail == "a failed because of that: look a: the engine did not answer: the daemon stopped"
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
