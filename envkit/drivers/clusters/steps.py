"""Runs steps within one deadline: reports the time of each, repeats calls with backoff, names the failed step."""

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
"""Seconds before the second attempt of a call; the next pauses are 2 and 4."""


@dataclass
class Steps:
    """A time limit in seconds for all steps together."""

    seconds: float
    report: Callable[[str], None]
    cancel: Cancel
    first_pause: float = FIRST_PAUSE
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """The seconds that remain, at least a tenth."""
        return max(0.1, self.began + self.seconds - time.monotonic())

    def run(self, name: str, work: Callable[[], T]) -> T:
        """Run `work`, report its time, and return its result.

        An error of `work` is raised with the step's name and time.
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
        """Call `call` again after 1, 2 and 4 seconds while the API server is busy, or after the time in Retry-After."""
        pauses = doubling(self.first_pause, 4 * self.first_pause)
        return retry(call, seconds=self.left, pauses=pauses, cancel=self.cancel, progress=self.report)

    def until(self, attempt: Callable[[], str | None], what: str) -> float:
        """Wait until the attempt returns None, within the remaining time; return the seconds.

        Continues after `Busy`.
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
