"""The one wait loop: every wait has a deadline, a way to be cancelled, and ends with the last reason seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
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


class TryAgain(EnvkitError):
    """An answer that asks to be tried again later (429, 5xx, a connection cut)."""


def retry(
    call: Callable[[], T],
    *,
    seconds: float,
    cancel: Cancel | None = None,
    progress: Callable[[str], None] | None = None,
    first: float = 1.0,
) -> T:
    """Call until it does not raise `TryAgain`, waiting `first`, 2x, 4x ... seconds; the last `TryAgain` is raised."""
    cancel = cancel or Cancel()

    def say(state: tenacity.RetryCallState) -> None:
        if progress and state.outcome:
            progress(f"trying again: {state.outcome.exception()}")

    loop = tenacity.Retrying(
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_exponential(multiplier=first, max=8),
        retry=tenacity.retry_if_exception_type(TryAgain),
        sleep=cancel.sleep,
        before_sleep=say,
        reraise=True,
    )
    return loop(call)
