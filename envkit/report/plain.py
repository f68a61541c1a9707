"""Plain lines for CI and pipes: one line per event, with the time since the command began."""

from __future__ import annotations

import sys
from typing import TextIO

from envkit.base.events import Event, Kind


class Plain:
    """An event sink that writes plain lines; it writes a step's progress only if the message is new."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._last: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        """Write a line for the event, unless the event needs none."""
        text = self._text(event)
        if text:
            step = f"{event.step:<12} " if event.step else ""
            self._out.write(f"[{event.at:7.2f}s] {step}{text}\n")
            self._out.flush()

    def close(self) -> None:
        """Do nothing: this sink holds no resources."""

    def _text(self, event: Event) -> str:
        match event.kind:
            case Kind.PLANNED:
                return ""
            case Kind.STARTED | Kind.NOTE:
                return event.message
            case Kind.PROGRESS:
                fresh = event.message and self._last.get(event.step) != event.message
                self._last[event.step] = event.message
                return f"  {event.message}" if fresh else ""
            case Kind.KEPT:
                return f"keep: {event.message}"
            case Kind.SKIPPED:
                return f"stopped: {event.message}"
            case Kind.FAILED:
                return f"FAILED after {event.seconds or 0:.1f} s: {event.message.splitlines()[0]}"
            case Kind.DONE:
                return f"done in {event.seconds or 0:.1f} s: {event.message}"
