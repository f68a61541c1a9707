"""Tests of `apply`: steps run in parallel, an error is raised only after all threads end, and nothing hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from envkit.base.errors import Cancelled, EngineError, EnvkitError, NotReady, StepsFailed
from envkit.base.events import Event, Kind, Stream
from envkit.base.waiting import Aborted, Cancel
from envkit.planning import apply
from envkit.planning.plan import Action, Plan, Step, Subject

Report = Callable[[str], None]

pytestmark = pytest.mark.filterwarnings("error")

LONG = 20.0
"""Seconds that no test should wait; a hang fails at the joins below."""


def plan(**needs: tuple[str, ...]) -> Plan:
    return Plan(tuple(Step(name, Subject.SERVICE, name, Action.CREATE, "new", need) for name, need in needs.items()))


def run(
    steps: Plan, do: apply.Do, *, cancel: Cancel | None = None, sink: Callable[[Event], None] | None = None
) -> dict[str, float]:
    """Run `planning.apply.run` in a separate thread, so that a hang fails one test and does not stop all tests."""
    result: dict[str, float] = {}
    raised: list[BaseException] = []

    def work() -> None:
        try:
            result.update(apply.run(steps, do, Stream([sink] if sink else []), cancel or Cancel()))
        except BaseException as error:  # noqa: BLE001  raised again below
            raised.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(LONG)
    assert not worker.is_alive(), "apply.run hangs"
    if raised:
        raise raised[0]
    return result


def fails(*names: str, error: Callable[[str], BaseException]) -> apply.Do:
    def do(step: Step, _report: Report, _cancel: Cancel) -> str:
        if step.id in names:
            raise error(step.id)
        return "done"

    return do


# Order


def test_every_step_runs_after_what_it_needs_and_is_timed() -> None:
    seen: list[str] = []

    def do(step: Step, _report: Report, _cancel: Cancel) -> str:
        seen.append(step.id)
        return "x"

    times = run(plan(a=("b", "c"), b=("d",), c=("d",), d=()), do)

    assert seen[0] == "d"
    assert seen[-1] == "a"
    assert set(times) == set("abcd")
    assert all(seconds >= 0 for seconds in times.values())


def test_independent_steps_run_side_by_side() -> None:
    meet = threading.Barrier(3)

    def do(_step: Step, _report: Report, _cancel: Cancel) -> str:
        meet.wait(LONG / 2)
        return "met"

    assert set(run(plan(a=(), b=(), c=()), do)) == set("abc")


def test_a_step_begins_as_soon_as_its_own_needs_are_done() -> None:
    late = threading.Event()

    def do(step: Step, _report: Report, _cancel: Cancel) -> str:
        if step.id == "slow":
            assert late.wait(LONG / 2), "`after` waits for `slow`, which it does not need"
        if step.id == "after":
            late.set()
        return ""

    run(plan(slow=(), quick=(), after=("quick",)), do)

    assert late.is_set()


def test_needs_that_are_not_in_the_plan_are_taken_as_done() -> None:
    assert set(run(plan(a=("elsewhere",)), lambda *_: "")) == {"a"}


def test_an_empty_plan_is_done_at_once() -> None:
    assert run(Plan(), lambda *_: "") == {}


def test_kept_steps_are_told_and_not_done() -> None:
    events: list[Event] = []
    steps = Plan((Step("a", Subject.SERVICE, "a", Action.KEEP, "fine"),))

    times = run(steps, fails("a", error=AssertionError), sink=events.append)

    assert times == {"a": 0.0}
    assert [(event.kind, event.step, event.message) for event in events] == [(Kind.KEPT, "a", "fine")]


def test_events_tell_beginning_progress_and_end() -> None:
    events: list[Event] = []

    def do(_step: Step, report: Report, _cancel: Cancel) -> str:
        report("half")
        return "whole"

    run(plan(a=()), do, sink=events.append)

    assert [(e.kind, e.message) for e in events] == [
        (Kind.STARTED, "create: new"),
        (Kind.PROGRESS, "half"),
        (Kind.DONE, "whole"),
    ]
    assert events[-1].seconds is not None


# Failure


def test_the_first_failure_is_raised_with_its_step_hint_and_detail() -> None:
    with pytest.raises(EngineError) as caught:
        run(plan(a=(), b=("a",), c=("b",)), fails("b", error=lambda _: EngineError("no way", hint="h", detail="d")))

    assert (caught.value.message, caught.value.hint, caught.value.detail) == ("b: no way", "h", "d")


def test_a_message_that_begins_with_the_step_is_not_told_twice() -> None:
    with pytest.raises(EngineError) as caught:
        run(plan(b=()), fails("b", error=lambda _: EngineError("b died")))

    assert caught.value.message == "b died"


def test_after_a_failure_nothing_new_begins_and_what_runs_is_asked_to_stop_and_joined() -> None:
    began, stopped = threading.Event(), threading.Event()
    seen: list[str] = []

    def do(step: Step, _report: Report, cancel: Cancel) -> str:
        seen.append(step.id)
        if step.id == "bad":
            assert began.wait(LONG / 2)
            raise NotReady("too late")
        if step.id == "long":
            began.set()
            try:
                cancel.sleep(LONG)
            finally:
                time.sleep(0.05)  # the join waits for the code after this sleep too
                stopped.set()
        return ""

    events: list[Event] = []
    with pytest.raises(NotReady, match="too late"):
        run(plan(bad=(), long=(), next=("bad",)), do, sink=events.append)

    assert stopped.is_set()
    assert "next" not in seen
    assert {event.step: event.kind for event in events if event.seconds is not None} == {
        "bad": Kind.FAILED,
        "long": Kind.SKIPPED,
    }


def test_several_failures_are_told_together() -> None:
    meet = threading.Barrier(2)

    def do(step: Step, _report: Report, _cancel: Cancel) -> str:
        meet.wait(LONG / 2)
        raise EngineError(f"no {step.id}:\n- reason", hint="mend it", detail=f"log of {step.id}")

    with pytest.raises(StepsFailed, match="2 steps failed") as caught:
        run(plan(a=(), b=()), do)

    assert set(caught.value.errors) == {"a", "b"}
    for part in ("  - a: no a:\n    - reason", "  - b: no b:\n    - reason"):
        assert part in caught.value.message
    assert caught.value.hint == "mend it", "said once"
    assert set(caught.value.detail.splitlines()) == {"log of a", "log of b"}
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "error", [RuntimeError("oh"), KeyError(6379), SystemExit(5), KeyboardInterrupt(), MemoryError()]
)
def test_an_exception_that_is_none_of_envkits_is_neither_lost_nor_waited_for(error: BaseException) -> None:
    events: list[Event] = []

    with pytest.raises(EnvkitError, match="step b met an error that envkit did not expect") as caught:
        run(plan(a=(), b=("a",), c=("b",)), fails("b", error=lambda _: error), sink=events.append)

    assert repr(error) in caught.value.message
    assert caught.value.__cause__ is error
    assert "--debug" in caught.value.hint
    assert "c" not in {event.step for event in events}


@pytest.mark.parametrize("kind", [Kind.STARTED, Kind.PROGRESS, Kind.DONE, Kind.KEPT])
def test_a_sink_that_raises_ends_the_run_and_is_told(kind: Kind) -> None:
    """An error in the view must cause neither an endless loop nor a success after half of the steps."""

    def sink(event: Event) -> None:
        if event.kind is kind and event.step == "a":
            raise ValueError("cannot draw")

    steps = (*plan(a=(), b=("a",)).steps, Step("a2", Subject.SERVICE, "a", Action.KEEP, "fine"))
    if kind is Kind.KEPT:
        steps = (Step("a", Subject.SERVICE, "a", Action.KEEP, "fine"), *steps[1:])

    def do(step: Step, report: Report, _cancel: Cancel) -> str:
        report("half")
        return ""

    with pytest.raises(EnvkitError, match="cannot draw"):
        run(Plan(steps), do, sink=sink)


def test_a_sink_whose_reader_went_away_is_let_go() -> None:
    def sink(_event: Event) -> None:
        raise BrokenPipeError

    assert set(run(plan(a=(), b=("a",)), lambda *_: "", sink=sink)) == {"a", "b"}


# Cancelling


@pytest.mark.parametrize(("signum", "code"), [(2, 130), (15, 143)])
def test_a_signal_stops_all_and_gives_its_exit_code(signum: int, code: int) -> None:
    cancel = Cancel()
    seen: list[str] = []

    def do(step: Step, _report: Report, cancel: Cancel) -> str:
        seen.append(step.id)
        cancel.set(signum)
        cancel.sleep(LONG)
        return ""

    with pytest.raises(Cancelled) as caught:
        run(plan(a=(), b=("a",)), do, cancel=cancel)

    assert caught.value.exit_code == code
    assert seen == ["a"]


def test_a_signal_wins_over_what_failed_because_of_it() -> None:
    cancel = Cancel()

    def do(_step: Step, _report: Report, cancel: Cancel) -> str:
        cancel.set(15)
        raise EngineError("connection cut")

    with pytest.raises(Cancelled) as caught:
        run(plan(a=()), do, cancel=cancel)

    assert caught.value.exit_code == 143


def test_a_run_that_was_cancelled_before_it_began_does_nothing() -> None:
    cancel = Cancel()
    cancel.set(2)

    with pytest.raises(Cancelled):
        run(plan(a=()), fails("a", error=AssertionError), cancel=cancel)


def test_a_run_that_was_aborted_is_no_success() -> None:
    """A run with steps undone must never count as an environment that is up."""
    cancel = Cancel()
    cancel.abort()

    with pytest.raises(Aborted):
        run(plan(a=()), fails("a", error=AssertionError), cancel=cancel)
    with pytest.raises(Aborted):
        run(plan(a=(), b=("a",)), fails("a", error=lambda _: Aborted("stopped")))
