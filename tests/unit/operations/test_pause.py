"""Tests of paused environments: `pause` itself, the `up` that resumes them, and the commands that report the pause."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import EngineError, EnvironmentFailed, NotUp, UsageError
from envkit.drivers.runtimes.fake import FakeEngine
from envkit.drivers.runtimes.process_table import Stamp
from envkit.inventory import state
from envkit.operations import env
from envkit.planning.facts import ClusterFact, Facts
from envkit.planning.plan import CLUSTER, Action, make
from tests.support.fake_session import Session, opened
from tests.support.operations import entry, flush, logs, pause, reset, restart, status, up
from tests.unit.wants import desired, environment, instance

TCP = {"probe": {"type": "tcp"}, "ports": {"main": {"container": 80, "host": "auto"}}}
TWO: dict[str, Any] = {"db": TCP, "api": {**TCP, "needs": ["db"]}}


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    made.images.there["i"] = "sha256:i"
    yield made
    made.close()


def session(engine: FakeEngine, home: Path, services: dict[str, Any] = TWO) -> Session:
    return opened(environment(services), home, engine)


def held(engine: FakeEngine, home: Path) -> dict[str, str]:
    up(session(engine, home))
    pause(session(engine, home))
    return {it.service: it.id for it in engine.observe("t")}


def test_everything_is_held_and_up_lets_it_go_on(engine: FakeEngine, tmp_path: Path) -> None:
    before = held(engine, tmp_path)
    assert {it.state for it in engine.observe("t")} == {"paused"}

    outcome = up(session(engine, tmp_path))

    assert {step.id: step.action for step in outcome.plan.changes} == {"db": Action.RESUME, "api": Action.RESUME}
    assert {it.service: it.id for it in engine.observe("t")} == before
    assert all(it.running for it in engine.observe("t"))
    assert outcome.record.status == "up"
    assert not outcome.from_nothing


def test_what_changed_meanwhile_is_replaced_and_not_resumed(engine: FakeEngine, tmp_path: Path) -> None:
    before = held(engine, tmp_path)
    up(session(engine, tmp_path, {**TWO, "api": {**TWO["api"], "env": {"NEW": "1"}}}))
    after = {it.service: it.id for it in engine.observe("t")}
    assert after["db"] == before["db"] and after["api"] != before["api"]
    assert ("resume", "api") not in engine.calls


def test_twice_is_fine(engine: FakeEngine, tmp_path: Path) -> None:
    held(engine, tmp_path)
    assert pause(session(engine, tmp_path)) == ["api", "db"]


def test_nothing_there_is_nothing_to_pause(engine: FakeEngine, tmp_path: Path) -> None:
    with pytest.raises(NotUp, match="environment t is not up"):
        pause(session(engine, tmp_path))


def test_what_reads_the_record_says_so(engine: FakeEngine, tmp_path: Path) -> None:
    held(engine, tmp_path)
    now = session(engine, tmp_path)
    seen = status(now)
    assert seen.paused and not seen.up and {row.state for row in seen.rows} == {"paused"}
    assert (found := state.read(now.paths)) and found.status == state.PAUSED


VERBS: dict[str, Callable[[Session], object]] = {
    "env": lambda now: env.read(now.paths, now.up_command),
    "reset": reset,
    "flush": flush,
    "restart": lambda now: restart(now, ["db"]),
    "shell": lambda now: entry(now, "db", ["true"], tty=False),
    "shell cluster": lambda now: entry(now, CLUSTER, ["true"], tty=False),
}
"""Commands that need a running environment."""


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_in_the_same_words_that_it_is_paused(engine: FakeEngine, tmp_path: Path, verb: str) -> None:
    held(engine, tmp_path)
    now = session(engine, tmp_path)
    now.up_command = "./dev up --name t"
    with pytest.raises(NotUp) as caught:
        VERBS[verb](now)
    assert caught.value.message == "environment t is paused"
    assert caught.value.hint == "`./dev up --name t` resumes it"


@pytest.mark.parametrize("verb", [*VERBS, "logs", "pause"])
def test_every_verb_says_in_the_same_words_that_it_is_not_up(engine: FakeEngine, tmp_path: Path, verb: str) -> None:
    now = session(engine, tmp_path)
    now.up_command = "./dev up --name t"
    more = {"logs": lambda now: logs(now, [], None, print), "pause": pause}
    with pytest.raises(NotUp) as caught:
        (VERBS | more)[verb](now)
    assert caught.value.message == "environment t is not up"
    assert caught.value.hint == "bring it up with `./dev up --name t`"


def test_a_service_that_is_not_up_is_named(engine: FakeEngine, tmp_path: Path) -> None:
    up(session(engine, tmp_path), ["db"])
    with pytest.raises(NotUp, match=r"^api of environment t is not up$"):
        restart(session(engine, tmp_path), ["api"])


def test_what_a_run_uses_is_not_held(engine: FakeEngine, tmp_path: Path) -> None:
    up(session(engine, tmp_path))
    folder = tmp_path / "runs" / "t" / f"20260101-000000-{os.getpid()}"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"processes": [Stamp.of(os.getpid()).written()]}))
    with pytest.raises(UsageError, match="is used by run"):
        pause(session(engine, tmp_path))
    assert all(it.running for it in engine.observe("t"))


class Warm(FakeEngine):
    """An engine that cannot pause the service `api`."""

    def pause(self, instance: Any) -> None:
        if instance.service == "api":
            raise EngineError("the engine answered: cannot freeze")
        super().pause(instance)


def test_what_cannot_be_held_as_a_whole_is_not_held(tmp_path: Path) -> None:
    engine = Warm()
    engine.images.there["i"] = "sha256:i"
    try:
        up(session(engine, tmp_path))
        with pytest.raises(EnvironmentFailed, match="api: the engine answered: cannot freeze"):
            pause(session(engine, tmp_path))
        assert all(it.running for it in engine.observe("t"))
        assert env.read(session(engine, tmp_path).paths, "up").status == "up"
    finally:
        engine.close()


def test_what_needs_a_resumed_service_is_kept() -> None:
    wanted = desired(environment({"db": {}, "api": {"needs": ["db"]}}))
    facts = Facts(network=True, instances={"db": instance("db", "paused"), "api": instance("api")})
    assert {step.id: step.action for step in make(wanted, facts).changes} == {"db": Action.RESUME}


def test_a_paused_service_with_another_fingerprint_is_replaced() -> None:
    facts = Facts(network=True, instances={"db": instance("db", "paused", "old")}, cluster=ClusterFact())
    _prepare, step = make(desired(environment({"db": {}})), facts).changes
    assert step.action is Action.REPLACE
