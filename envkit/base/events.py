"""The one stream of events that every face of envkit (live view, plain lines, JSON lines) is drawn from."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What happened to a step."""

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
    """`at` is seconds since the command began; `seconds` how long a finished step took."""

    kind: Kind
    step: str
    message: str = ""
    at: float = 0.0
    seconds: float | None = None


Sink = Callable[[Event], None]


def _nothing() -> None:
    """Most faces have nothing to give back."""


@dataclass
class Stream:
    """Hands each event to every sink, one at a time, from whichever thread it comes."""

    sinks: list[Sink] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    began: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def emit(self, kind: Kind, step: str, message: str = "", seconds: float | None = None) -> None:
        """Stamp an event and pass it on."""
        with self._lock:
            event = Event(kind, step, message, self.clock() - self.began, seconds)
            for sink in tuple(self.sinks):
                try:
                    sink(event)
                except OSError:  # a reader that went away (`up | head`) must not end the work
                    self.sinks.remove(sink)

    def quiet(self) -> None:
        """Have faces that draw in place give the terminal back; they may draw again later."""
        for sink in tuple(self.sinks):
            getattr(sink, "pause", _nothing)()

    def note(self, message: str) -> None:
        """Say something that belongs to no step."""
        self.emit(Kind.NOTE, "", message)

    def reporter(self, step: str) -> Callable[[str], None]:
        """A function that reports progress of one step."""
        return lambda message: self.emit(Kind.PROGRESS, step, message)
