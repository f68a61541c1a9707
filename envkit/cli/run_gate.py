"""Decides the result of each run of the command, and the exit code of `run`."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envkit.operations.run import Cancelled, Ended, Row
from envkit.watch.timeline import Happening

if TYPE_CHECKING:
    from envkit.evidence import Verdict

ENVIRONMENT_FAILED = 125
"""Exit code of `run` if the environment failed and not the command. docker and timeout use the same code."""

INTERRUPTED = 128 + signal.SIGINT

HURT: frozenset[str] = frozenset({"died", "restarted", "oom"})
"""Kinds of events that make a run unclean even if its command succeeded, because the next run could fail."""


@dataclass(frozen=True)
class Gate:
    """Decides the results of one `run`.

    `run --repeat N` is a gate: it passes if N runs of the command are clean. A run is clean only if the command
    succeeds and no service died, restarted or ran out of memory.
    """

    cancelled: Cancelled
    repeat: int

    def row(self, number: int, ended: Ended, verdict: Verdict | None, seen: Sequence[Happening]) -> Row:
        """Return the result of one run. `seen` has what happened to the services during the run."""
        hurt = [one for one in seen if one.kind in HURT]
        described = "; ".join(dict.fromkeys(f"{one.service} {one.message}" for one in hurt))
        if self.cancelled.signum or (self.cancelled.interrupted and ended.code == INTERRUPTED):
            result = "cancelled"
        elif ended.code:
            result = "environment" if verdict and verdict.fault == "environment" else "failed"
        else:
            result = "environment" if hurt and self.repeat > 1 else "passed"
        return Row(number, result, ended.code, ended.seconds, verdict.reason if verdict else described)

    def code(self, row: Row, ended: Ended) -> int:
        """Return the exit code after this run: the command's exit code, except in a gate (`repeat` above 1).

        In a gate it is 125 if the environment failed, and 128 + N if signal N cancelled a run whose command ended with
        0.
        """
        result = row.result if self.repeat > 1 else ""
        if result == "cancelled" and not ended.code:  # the command succeeded, but the gate was not passed
            return 128 + self.cancelled.signum
        return ENVIRONMENT_FAILED if result == "environment" else ended.code
