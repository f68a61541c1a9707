"""Reports the progress of `run` on standard error. Only the command writes to standard output."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from envkit.base.paths import append_private
from envkit.report.lines import row_of
from envkit.watch.timeline import TROUBLE, Happening

if TYPE_CHECKING:
    from envkit.base.events import Event
    from envkit.cli.context import Opened
    from envkit.config.models import Environment
    from envkit.evidence import Verdict
    from envkit.inventory.state import Record
    from envkit.operations.run import Row


class EventFile:
    """An event sink that writes the events of `up` into the run's folder, each with its time."""

    def __init__(self, path: Path) -> None:
        self._file = os.fdopen(append_private(path), "a")

    def __call__(self, event: Event) -> None:
        """Write the event."""
        self._file.write(json.dumps({"time": round(time.time(), 3), **row_of(event)}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class RunReporter:
    """Writes plain lines, or one JSON object on each line."""

    def __init__(self, as_json: bool, out: TextIO | None = None) -> None:
        self._json = as_json
        self._out = out or sys.stderr

    def events(self, path: Path) -> EventFile:
        """Return a sink that writes the events into a file, in addition to the sink that shows them."""
        return EventFile(path)

    def opened(self, target: Opened) -> None:
        """Do nothing. In `CiRunReporter` this method masks secrets, before anything is brought up."""

    def ready(self, environment: Environment, record: Record) -> None:
        """Do nothing. In `CiRunReporter` this method masks secrets, when the environment is up."""

    def phase(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002  for `CiRunReporter`
        """Return a context manager around a part of the run: up, reset, command, evidence, down."""
        return nullcontext()

    def row(self, row: Row) -> None:
        """Do nothing. In `CiRunReporter` this method keeps the result of a run of the command."""

    def note(self, text: str) -> None:
        """Print a note that concerns no service."""
        self._say(text, {"event": "note", "message": text})

    def happening(self, happening: Happening) -> None:
        """Print what happened, with its time and a mark for trouble."""
        at = time.strftime("%H:%M:%S", time.localtime(happening.at))
        mark = "!" if happening.kind in TROUBLE else " "
        self._say(
            f"{mark} {at} {' '.join(filter(None, (happening.service, happening.message)))}",
            {"event": "happening", **asdict(happening)},
        )

    def report(self, lines: Sequence[tuple[str, str]]) -> None:
        """Print for each store how the command changed its contents."""
        width = max((len(name) for name, _ in lines), default=0)
        for name, line in lines:
            self._say(f"{name.ljust(width)}  {line}", {"event": "report", "service": name, "message": line})

    def verdict(self, verdict: Verdict) -> None:
        """Print the verdict."""
        row = {"fault": verdict.fault, "reason": verdict.reason, "confidence": verdict.confidence}
        self._say(f"\n{verdict.text()}", {"event": "verdict", **row, "because": list(verdict.because)})

    def evidence(self, path: Path) -> None:
        """Print the path of the evidence."""
        self._say(f"evidence: {path}", {"event": "evidence", "path": str(path)})

    def table(self, rows: Sequence[Row], wanted: int) -> None:
        """Print each run with its result and time, and whether all runs were clean."""
        from envkit.cli.terminal import edge, table

        clean = sum(row.result == "passed" for row in rows)
        said = f"{clean} of {wanted} runs were clean" if clean < wanted else f"{wanted} clean runs in a row"
        if len(rows) < wanted:
            said += f"; stopped after run {len(rows)}"
        body = [(str(row.number), row.result, str(row.code), f"{row.seconds:.1f}s", row.reason) for row in rows]
        whole = [("RUN", "RESULT", "CODE", "TIME", "WHAT HAPPENED"), *body]
        text = table(whole, edge(os.environ, self._out), headed=True) if body else ""
        facts = {"event": "runs", "wanted": wanted, "clean": clean, "runs": [row.facts() for row in rows]}
        self._say(f"\n{text}{said}", facts)

    def _say(self, text: str, row: dict[str, Any]) -> None:
        if not self._json:
            from envkit.cli.terminal import edge, folded

            text = folded(text, edge(os.environ, self._out))
        try:
            self._out.write((json.dumps(row) if self._json else text) + "\n")
            self._out.flush()
        except (OSError, ValueError):  # the reader is gone; the work goes on
            return
