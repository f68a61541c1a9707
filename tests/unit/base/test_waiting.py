"""Tests of the wait loop: its deadline, cancellation that ends the wait at once, and the last reason in its error."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from envkit.base.errors import Cancelled, EngineError, NotReady, ServiceDied
from envkit.base.waiting import Aborted, Cancel, TryAgain, backoff, doubling, retry, until, within


def test_what_is_satisfied_at_once_is_asked_once() -> None:
    asked: list[int] = []

    took = until(lambda: asked.append(1), what="x", seconds=5)

    assert len(asked) == 1
    assert took < 1


def test_it_goes_on_until_satisfied_and_tells_each_new_reason_once() -> None:
    answers = iter(["no", "no", "almost", "almost", None])
    told: list[str] = []

    until(lambda: next(answers), what="x", seconds=10, progress=told.append)

    assert told == ["no", "almost"]
    assert next(answers, "asked no more") == "asked no more"


def test_the_deadline_tells_what_was_expected_what_was_seen_last_and_what_to_do() -> None:
    answers = iter(["first", *["connection refused"] * 1000])
    began = time.monotonic()

    with pytest.raises(
        NotReady, match=r"redis should answer: not within 0\.2 s; last seen: connection refused"
    ) as caught:
        until(lambda: next(answers), what="redis should answer", seconds=0.2, hint="look at its log")

    assert caught.value.hint == "look at its log"
    assert 0.15 < time.monotonic() - began < 3


def test_polling_is_fast_at_first_and_slower_later() -> None:
    times: list[float] = []

    def attempt() -> str:
        times.append(time.monotonic())
        return "no"

    with pytest.raises(NotReady):
        until(attempt, what="x", seconds=0.6, slowest=0.1)

    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps[0] < 0.1
    assert len(times) > 4


def test_what_an_attempt_raises_ends_the_wait_at_once() -> None:
    asked: list[int] = []

    def attempt() -> str:
        asked.append(1)
        raise ServiceDied("it is dead")

    with pytest.raises(ServiceDied, match="it is dead"):
        until(attempt, what="x", seconds=30)

    assert len(asked) == 1


@pytest.mark.parametrize("signum", [0, 15])
def test_cancel_wakes_a_sleep_promptly(signum: int) -> None:
    cancel = Cancel()
    timer = threading.Timer(0.05, lambda: cancel.set(signum) if signum else cancel.abort())
    began = time.monotonic()
    timer.start()

    with pytest.raises(Cancelled if signum else Aborted):
        cancel.sleep(30)

    timer.join()
    assert time.monotonic() - began < 5


def test_cancel_ends_a_wait_between_two_attempts() -> None:
    cancel = Cancel()

    def attempt() -> str:
        cancel.set(2)
        return "no"

    began = time.monotonic()
    with pytest.raises(Cancelled) as caught:
        until(attempt, what="x", seconds=30, cancel=cancel)

    assert caught.value.exit_code == 130
    assert time.monotonic() - began < 5


def test_a_wait_that_is_cancelled_already_asks_nothing() -> None:
    cancel = Cancel()
    cancel.abort()

    def attempt() -> str:
        raise AssertionError("asked although nobody waits any more")

    with pytest.raises(Aborted):
        until(attempt, what="x", seconds=1, cancel=cancel)


def test_the_first_signal_counts() -> None:
    cancel = Cancel()
    cancel.abort()
    cancel.set(15)
    cancel.set(2)

    with pytest.raises(Cancelled) as caught:
        cancel.check()
    assert caught.value.exit_code == 143


def test_a_cancel_that_nobody_set_stops_nobody() -> None:
    cancel = Cancel()

    cancel.check()
    cancel.sleep(0.0)

    assert not cancel.event.is_set()


def test_retry_goes_on_for_what_asks_for_it_only() -> None:
    answers: Iterator[TryAgain | int] = iter([TryAgain("429"), TryAgain("503"), 42])
    told: list[str] = []

    def call() -> int:
        answer = next(answers)
        if isinstance(answer, TryAgain):
            raise answer
        return answer

    assert retry(call, seconds=10, progress=told.append, pauses=doubling(0.01)) == 42
    assert told == ["429; trying again in 0.01 s", "503; trying again in 0.02 s"]


def test_retry_raises_the_last_answer_when_time_is_up_and_anything_else_at_once() -> None:
    def busy() -> None:
        raise TryAgain("still 429")

    def broken() -> None:
        raise EngineError("no")

    with pytest.raises(TryAgain, match="still 429"):
        retry(busy, seconds=0.1, pauses=doubling(0.01))
    with pytest.raises(EngineError, match="no"):
        retry(broken, seconds=30)


def test_a_pause_is_as_long_as_the_answer_asks_for_and_no_longer_than_the_time_that_is_left() -> None:
    told: list[str] = []

    def busy() -> None:
        raise TryAgain("429", after=60.0)

    assert backoff([1.0, 2.0])(TryAgain("429"), 7) == 2.0
    assert backoff([1.0, 2.0])(TryAgain("429", after=3.0), 1) == 3.0
    with pytest.raises(TryAgain):
        retry(busy, seconds=0.05, progress=told.append)
    assert [line.rpartition(" in ")[0] for line in told] == ["429; trying again"]
    assert float(told[0].split()[-2]) <= 0.05


def test_a_condition_that_comes_true_in_time_is_told_from_one_that_does_not() -> None:
    answers = iter([False, False, True])

    assert within(10, lambda: next(answers), every=0.001)
    assert not within(0.01, lambda: False, every=0.001)


def test_another_try_forgets_a_failure_and_no_signal() -> None:
    failed, signalled = Cancel(), Cancel()
    failed.abort()
    failed.begin_again()
    failed.check()
    signalled.set(15)
    signalled.abort()
    signalled.begin_again()
    with pytest.raises(Cancelled):
        signalled.check()
