"""Timings of an `up`: which step each step waited for, how long each step took, and the critical path.

A file in the state directory holds the timings of the last `up` that changed anything, even if it failed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from envkit.base.events import Event, Kind
from envkit.base.paths import Paths, write_private

if TYPE_CHECKING:
    from envkit.base.events import Stream
    from envkit.config.models import Environment
    from envkit.planning.plan import Plan

SCHEMA = 1

ENDS = {Kind.DONE: "done", Kind.KEPT: "kept", Kind.FAILED: "failed", Kind.SKIPPED: "stopped"}
"""The kinds of events that end a step, each with the `state` of the step after it."""


@dataclass(frozen=True)
class Span:
    """One step. `began` is in seconds since the command began, or None if the step never began."""

    step: str
    action: str = ""
    needs: tuple[str, ...] = ()
    state: str = "waiting"
    began: float | None = None
    seconds: float = 0.0
    message: str = ""

    @property
    def ended(self) -> float:
        """The time at which the step ended, in seconds since the command began."""
        return (self.began or 0.0) + self.seconds

    @property
    def ran(self) -> bool:
        """Whether the step did anything: it began, and its result was not `kept`."""
        return self.began is not None and self.state != "kept"


@dataclass(frozen=True)
class Timings:
    """The timings of one `up`.

    `at` is the time at which it began, in seconds since 1970. `seconds` is its wall time. `result` is `up` or `failed`.
    """

    name: str
    at: float
    seconds: float
    result: str
    where: str
    spans: tuple[Span, ...]

    @property
    def critical(self) -> tuple[Span, ...]:
        """The critical path, first step first.

        Its last step is the step that ended last. The step before a step S is, of the steps that S needed, the one that
        ended last.
        """
        by_name = {span.step: span for span in self.spans if span.ran}
        chain: list[Span] = []
        after = list(by_name.values())
        while after:
            last = max(after, key=lambda span: (round(span.ended, 3), span.began))
            chain.insert(0, last)
            after = [by_name[need] for need in last.needs if need in by_name]
        return tuple(chain)

    def waited_for(self, span: Span) -> str:
        """Return the step that ended last among those that this step needed, or "" if it waited for none."""
        ended = {one.step: one.ended for one in self.spans if one.ran and one.step in span.needs}
        return max(ended, key=ended.__getitem__) if ended else ""

    def facts(self) -> dict[str, Any]:
        """Return the timings as data for JSON output. Times of steps are in seconds since the command began."""
        chain = [span.step for span in self.critical]
        steps = [
            {**asdict(span), "needs": list(span.needs), "waited_for": self.waited_for(span) or None,
             "critical": span.step in chain}
            for span in self.spans
        ]  # fmt: skip
        total = round(sum(span.seconds for span in self.critical), 3)
        said = {"name": self.name, "at": self.at, "seconds": self.seconds, "result": self.result, "where": self.where}
        return {**said, "critical_path": {"steps": chain, "seconds": total}, "steps": steps}


class Recorder:
    """An event sink that records when each step began and how it ended.

    With a plan it records the steps of the plan only; without one it records every step that has an event.
    """

    def __init__(self, plan: Plan | None = None) -> None:
        self._planned, steps = plan is not None, plan.steps if plan else ()
        self._spans = {step.id: Span(step.id, step.action.value, tuple(step.needs)) for step in steps}

    def __call__(self, event: Event) -> None:
        """Record the event if it begins or ends a step."""
        if not event.step or (self._planned and event.step not in self._spans):
            return
        span = self._spans.setdefault(event.step, Span(event.step))
        began, seconds = span.began, span.seconds
        if event.kind is Kind.STARTED:
            began = event.at
        elif event.kind in ENDS:
            began = event.at - (event.seconds or 0.0) if began is None else began
            seconds = max(0.0, event.at - began)  # `began` is rounded
        else:
            return
        self._spans[event.step] = replace(
            span, state=ENDS.get(event.kind, "running"), began=round(began, 3), seconds=round(seconds, 3),
            message=event.message.partition("\n")[0],
        )  # fmt: skip

    def close(self) -> None:
        """Do nothing: this sink holds no resources."""

    @property
    def spans(self) -> tuple[Span, ...]:
        """The recorded steps, in the order of the plan, or without a plan in the order of their first events."""
        return tuple(self._spans.values())


@contextmanager
def recorded(environment: Environment, paths: Paths, where: str, stream: Stream, plan: Plan) -> Iterator[None]:
    """Write the timings of the steps that run inside the `with` block, even if they fail."""
    recorder = Recorder(plan)
    stream.sinks.append(recorder)
    failed = True
    try:
        yield
        failed = False
    finally:
        stream.sinks.remove(recorder)
        took, result = round(stream.clock() - stream.began, 3), "failed" if failed else "up"
        at = round(time.time() - took, 3)
        with suppress(OSError):  # a full disk already made another step fail
            write(paths, Timings(environment.name, at, took, result, where, recorder.spans))


def write(paths: Paths, timings: Timings) -> None:
    """Write the timings to their file. If no step did anything, the earlier file stays."""
    if any(span.ran for span in timings.spans):
        write_private(paths.timings, json.dumps({"schema": SCHEMA, **asdict(timings)}, indent=1))


def read(paths: Paths) -> Timings | None:
    """Return the stored timings, or None if there are none that this version can read."""
    try:
        raw: dict[str, Any] = json.loads(paths.timings.read_text())
        if raw.pop("schema") != SCHEMA:
            return None
        spans = tuple(_span(row) for row in raw.pop("spans"))
        return Timings(**raw, spans=spans)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _span(row: Mapping[str, Any]) -> Span:
    return Span(**{**row, "needs": tuple(row["needs"])})
