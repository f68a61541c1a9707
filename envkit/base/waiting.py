"""The one place that waits and retries: with a deadline, until cancelled, and with the last reason as the result."""

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
"""One attempt: None when satisfied, otherwise what was seen instead. It may raise `EnvkitError` to end the wait."""

FIRST_POLL = 0.02
"""Seconds before the second attempt; compose's fixed interval cost 30.9 s where 3.4 s were needed."""

SLOWEST_POLL = 0.5
"""Seconds between attempts at the most."""


class Aborted(EnvkitError):
    """This step was stopped because another one failed; never the error to show."""


@dataclass
class Cancel:
    """Set once, from a signal handler or by a step that failed; every wait and every step looks at it."""

    signum: int = 0
    event: threading.Event = field(default_factory=threading.Event)
    cuts: int = 0
    """Above 0, calls of the engine that are under way end as well; see `cutting`."""

    @contextmanager
    def cutting(self) -> Iterator[None]:
        """Meanwhile a signal also ends calls of the engine. Not while things are taken back: that must go on."""
        self.cuts += 1
        try:
            yield
        finally:
            self.cuts -= 1

    def set(self, signum: int = 2) -> None:
        """Ask everything that waits to stop."""
        self.signum = self.signum or signum
        self.event.set()

    def abort(self) -> None:
        """Ask everything that waits to stop, because something failed."""
        self.event.set()

    def begin_again(self) -> None:
        """Forget that something failed, for another try; a signal stays, also one that comes in this moment."""
        self.event.clear()
        if self.signum:
            self.event.set()

    def check(self) -> None:
        """Raise `Cancelled` when a signal asked to stop, `Aborted` when a failure did."""
        if self.event.is_set():
            raise Cancelled(self.signum) if self.signum else Aborted("stopped because another step failed")

    def sleep(self, seconds: float) -> None:
        """Sleep, but wake and raise as `check` does when stopping is asked for."""
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
    """Call `attempt` until it is satisfied; return the seconds that took.

    Raises `NotReady` after `seconds`, with `what` was expected and what was last seen; whatever `attempt` raises ends
    the wait at once (a dead service is an answer, not a reason to go on).
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
    """Return whether the condition becomes true in time; it is checked every `every` seconds."""
    try:
        until(lambda: None if condition() else "not yet", what="the condition", seconds=seconds, slowest=every)
    except NotReady:
        return False
    return True


class TryAgain(EnvkitError):
    """An answer that asks to be tried again later (429, 5xx, a connection cut), after `after` seconds at least."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


Pauses = Callable[[BaseException, int], float | None]
"""From an error and the number of attempts so far to the seconds before the next attempt; None if there is none."""


def backoff(seconds: Sequence[float]) -> Pauses:
    """Pause that long after each `TryAgain` in turn, the last number for all others. Other errors are final.

    A `TryAgain` that asks for a longer pause gets it.
    """

    def pause(error: BaseException, tries: int) -> float | None:
        return max(seconds[min(tries, len(seconds)) - 1], error.after) if isinstance(error, TryAgain) else None

    return pause


def doubling(first: float = 1.0, most: float = 8.0) -> Pauses:
    """Pause `first`, 2x, 4x ... seconds after each `TryAgain`, `most` seconds at the most. Other errors are final."""
    return backoff([min(first * 2.0**power, most) for power in range(16)])


def retry(
    call: Callable[[], T],
    *,
    seconds: float,
    pauses: Pauses | None = None,
    cancel: Cancel | None = None,
    progress: Callable[[str], None] | None = None,
) -> T:
    """Return what `call` returns; after an error call it again, as `pauses` (`doubling` by default) decides.

    Raises the last error when it is final or `seconds` are over. No pause lasts longer than what is left of them.
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
