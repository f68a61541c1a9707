"""Runs steps within one deadline: reports the time of each step, repeats calls, and names the step that failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from envkit.base.errors import Cancelled, ClusterError, EnvkitError, NotReady
from envkit.base.waiting import Aborted, Cancel, doubling, retry, until
from envkit.drivers.clusters.api import Busy

T = TypeVar("T")

FIRST_PAUSE = 1.0
"""The seconds before the second attempt of a call; the next pauses are 2 s and 4 s, and then always 4 s."""


@dataclass
class Steps:
    """Runs steps; all steps together have the time limit `seconds`."""

    seconds: float
    report: Callable[[str], None]
    cancel: Cancel
    first_pause: float = FIRST_PAUSE
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """The seconds that remain, at least 0.1."""
        return max(0.1, self.began + self.seconds - time.monotonic())

    def run(self, name: str, work: Callable[[], T]) -> T:
        """Run `work`, report its time, and return its result.

        Raises `ClusterError` with the step's name and time if `work` raises an `EnvkitError`, except a cancellation.
        """
        began = time.monotonic()
        try:
            result = work()
        except (Cancelled, Aborted):
            raise
        except EnvkitError as error:
            raise self._named(name, time.monotonic() - began, error) from error
        self.report(f"{name}: {time.monotonic() - began:.1f} s")
        return result

    def ask(self, call: Callable[[], T]) -> T:
        """Return the result of `call`. While the API server is busy, call it again after 1 s, 2 s, and then every 4 s.

        If the API server sends Retry-After, waits for that time instead.
        """
        pauses = doubling(self.first_pause, 4 * self.first_pause)
        return retry(call, seconds=self.left, pauses=pauses, cancel=self.cancel, progress=self.report)

    def until(self, attempt: Callable[[], str | None], what: str) -> float:
        """Wait until `attempt` returns None, within the remaining time; return the seconds it took.

        If `attempt` raises `Busy`, the wait continues.
        """

        def once() -> str | None:
            try:
                return attempt()
            except Busy as error:
                return error.message

        return until(once, what=what, seconds=self.left, cancel=self.cancel, slowest=0.25)

    def _named(self, name: str, seconds: float, error: EnvkitError) -> ClusterError:
        hung = isinstance(error, NotReady | Busy)
        ended = f"did not end within the {self.seconds:g} s of the bootstrap" if hung else "failed"
        message = f"bootstrap: the step `{name}` {ended} ({seconds:.1f} s): {error.message}"
        return ClusterError(message, hint=error.hint, detail=error.detail)
