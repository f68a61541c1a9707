"""The steps of an `up` as they ended: what summaries and JUnit are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from envkit.events import Event, Kind

OVER: Mapping[Kind, str] = {Kind.DONE: "done", Kind.KEPT: "kept", Kind.FAILED: "failed", Kind.SKIPPED: "stopped"}


@dataclass(frozen=True)
class Step:
    """One step. `began` is seconds after the command's own beginning, `seconds` what it took."""

    name: str
    result: str = "not reached"
    message: str = ""
    began: float = 0.0
    seconds: float = 0.0


class Steps:
    """An event sink that keeps the last word about each step, in the order of their beginning."""

    def __init__(self) -> None:
        self._found: dict[str, Step] = {}

    def __call__(self, event: Event) -> None:
        """Keep it."""
        if not event.step:
            return
        step = self._found.get(event.step, Step(event.step))
        if event.kind is Kind.STARTED:
            step = replace(step, result="unfinished", began=event.at)
        if event.kind in OVER:
            began = step.began if step.result == "unfinished" else event.at
            step = Step(event.step, OVER[event.kind], event.message, began, event.seconds or 0.0)
        self._found[event.step] = step

    def close(self) -> None:
        """Nothing to put away."""

    @property
    def all(self) -> tuple[Step, ...]:
        """Those that began, in that order; then those that never did."""
        return tuple(sorted(self._found.values(), key=lambda step: (step.result == "not reached", step.began)))
