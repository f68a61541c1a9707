"""The stream of events from which every report (live view, plain lines, JSON lines) is made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """The kind of an event: what happened to a step, or a note that belongs to no step."""

    PLANNED = "planned"
    STARTED = "started"
    PROGRESS = "progress"
    DONE = "done"
    KEPT = "kept"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOTE = "note"


@dataclass(frozen=True)
class Event:
    """One event. `at` is in seconds since the command began; `seconds` is the duration of a finished step."""

    kind: Kind
    step: str
    message: str = ""
    at: float = 0.0
    seconds: float | None = None


Sink = Callable[[Event], None]


def _nothing() -> None:
    """Do nothing; `Stream.quiet` calls this function for a sink without a method `pause`."""


@dataclass
class Stream:
    """Pass each event to every sink. Any thread can emit events; the sinks receive one event at a time."""

    sinks: list[Sink] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    began: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def emit(self, kind: Kind, step: str, message: str = "", seconds: float | None = None) -> None:
        """Create an event with the current time and pass it to every sink."""
        with self._lock:
            event = Event(kind, step, message, self.clock() - self.began, seconds)
            for sink in tuple(self.sinks):
                try:
                    sink(event)
                except OSError:  # a closed pipe (`up | head`) must not end the work
                    self.sinks.remove(sink)

    def quiet(self) -> None:
        """Make the live view release the terminal; the live view can draw again later."""
        for sink in tuple(self.sinks):
            getattr(sink, "pause", _nothing)()

    def note(self, message: str) -> None:
        """Emit a message that belongs to no step."""
        self.emit(Kind.NOTE, "", message)

    def reporter(self, step: str) -> Callable[[str], None]:
        """Return a function that reports progress of the step."""
        return lambda message: self.emit(Kind.PROGRESS, step, message)
