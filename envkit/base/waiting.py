"""The wait and retry loops of envkit: every wait has a deadline, can be cancelled, and reports the last reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import tenacity

from envkit.base.errors import Cancelled, EnvkitError, NotReady

T = TypeVar("T")

Attempt = Callable[[], str | None]
"""A function that makes one attempt and returns None on success, else a text that says what it found.

It may raise `EnvkitError` to end the wait.
"""

FIRST_POLL = 0.02
"""Seconds between the first two attempts; with Compose's fixed interval a start took 30.9 s instead of 3.4 s."""

SLOWEST_POLL = 0.5
"""Maximum number of seconds between two attempts."""


class Aborted(EnvkitError):
    """A step was stopped because another step failed. envkit shows only the other step's error."""


@dataclass
class Cancel:
    """A request to stop, set by a signal handler or by a failed step; every wait and every step checks it."""

    signum: int = 0
    event: threading.Event = field(default_factory=threading.Event)
    cuts: int = 0
    """Number of active `cutting` blocks; above 0 a signal also ends engine calls that are in progress."""

    @contextmanager
    def cutting(self) -> Iterator[None]:
        """Let a signal also end engine calls inside the `with` block. Do not use it in cleanup, which must complete."""
        self.cuts += 1
        try:
            yield
        finally:
            self.cuts -= 1

    def set(self, signum: int = 2) -> None:
        """Make every wait stop because of a signal; `signum` of the first signal is kept."""
        self.signum = self.signum or signum
        self.event.set()

    def abort(self) -> None:
        """Make every wait stop because a step failed."""
        self.event.set()

    def begin_again(self) -> None:
        """Clear an abort before another try. Do not clear a signal, even if it arrives during this call."""
        self.event.clear()
        if self.signum:
            self.event.set()

    def check(self) -> None:
        """Raise `Cancelled` after a signal, and `Aborted` after another step failed."""
        if self.event.is_set():
            raise Cancelled(self.signum) if self.signum else Aborted("stopped because another step failed")

    def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`. A request to stop ends the sleep; the method then raises as `check` does."""
        if self.event.wait(seconds):
            self.check()


def until(
    attempt: Attempt,
    *,
    what: str,
    seconds: float,
    cancel: Cancel | None = None,
    progress: Callable[[str], None] | None = None,
    hint: str = "",
    slowest: float = SLOWEST_POLL,
) -> float:
    """Call `attempt` until it succeeds, and return the number of seconds that it took.

    Raises `NotReady` after `seconds`; its message has `what` and the last result. An error of `attempt` ends the wait
    at once, because more attempts cannot succeed (for example with a dead service).
    """
    cancel = cancel or Cancel()
    began = time.monotonic()
    last = "nothing yet"

    def once() -> bool:
        nonlocal last
        cancel.check()
        seen = attempt()
        if seen is not None and seen != last and progress:
            progress(seen)
        last = last if seen is None else seen
        return seen is None

    loop = tenacity.Retrying(
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_exponential(multiplier=FIRST_POLL, exp_base=1.5, max=slowest),
        retry=tenacity.retry_if_result(lambda satisfied: not satisfied),
        sleep=cancel.sleep,
    )
    try:
        loop(once)
    except tenacity.RetryError as error:
        message = f"{what}: not within {seconds:g} s; last seen: {last}"
        raise NotReady(message, hint=hint) from error
    return time.monotonic() - began


def within(seconds: float, condition: Callable[[], bool], *, every: float = 0.01) -> bool:
    """Return whether the condition becomes true within `seconds`. Two checks are at most `every` seconds apart."""
    try:
        until(lambda: None if condition() else "not yet", what="the condition", seconds=seconds, slowest=every)
    except NotReady:
        return False
    return True


class TryAgain(EnvkitError):
    """A temporary failure that `retry` may try again (status 429 or 5xx, a connection that was cut).

    `after` is the shortest pause before the next attempt, in seconds.
    """

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


Pauses = Callable[[BaseException, int], float | None]
"""A function that decides about the next attempt from an error and the number of attempts so far.

It returns the seconds before the next attempt, or None if there must be no further attempt.
"""


def backoff(seconds: Sequence[float]) -> Pauses:
    """Return the pauses for `retry`: `seconds[0]` after the first `TryAgain`, `seconds[1]` after the second, and so on.

    The last number repeats. A `TryAgain` with a longer `after` gets that pause. After any other error there is no
    further attempt.
    """

    def pause(error: BaseException, tries: int) -> float | None:
        return max(seconds[min(tries, len(seconds)) - 1], error.after) if isinstance(error, TryAgain) else None

    return pause


def doubling(first: float = 1.0, most: float = 8.0) -> Pauses:
    """Return the pauses for `retry`: `first` seconds, then twice as long after each `TryAgain`, but at most `most`.

    After any other error there is no further attempt.
    """
    return backoff([min(first * 2.0**power, most) for power in range(16)])


def retry(
    call: Callable[[], T],
    *,
    seconds: float,
    pauses: Pauses | None = None,
    cancel: Cancel | None = None,
    progress: Callable[[str], None] | None = None,
) -> T:
    """Return what `call` returns. After an error, call it again if `pauses` (`doubling` by default) returns a pause.

    Raises the last error if `pauses` returns None for it, or after `seconds`. No pause lasts longer than the time that
    remains.
    """
    cancel, decide, ends = cancel or Cancel(), pauses or doubling(), time.monotonic() + seconds

    def pause(state: tenacity.RetryCallState) -> float | None:
        error = state.outcome.exception() if state.outcome else None
        return None if error is None else decide(error, state.attempt_number)

    def say(state: tenacity.RetryCallState) -> None:
        if progress and state.outcome:
            progress(f"{state.outcome.exception()}; trying again in {state.upcoming_sleep:.3g} s")

    loop = tenacity.Retrying(
        stop=tenacity.stop_after_delay(seconds),
        wait=lambda state: max(0.0, min(pause(state) or 0.0, ends - time.monotonic())),
        retry=lambda state: pause(state) is not None,
        sleep=cancel.sleep,
        before_sleep=say,
        reraise=True,
    )
    return loop(call)
