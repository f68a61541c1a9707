"""JSON lines: one object for each event, for programs that read the progress."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from envkit.base.events import Event


def row_of(event: Event) -> dict[str, Any]:
    """Return the event as a JSON object; the object has no `seconds` if the event has none."""
    row = {"event": event.kind.value, "step": event.step, "message": event.message, "at": round(event.at, 3)}
    return row if event.seconds is None else {**row, "seconds": round(event.seconds, 3)}


class JsonLines:
    """An event sink that writes one JSON object per line."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr

    def __call__(self, event: Event) -> None:
        """Write the event."""
        self._out.write(json.dumps(row_of(event)) + "\n")
        self._out.flush()

    def close(self) -> None:
        """Do nothing: this sink holds no resources."""
