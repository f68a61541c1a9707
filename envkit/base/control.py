"""How a command stays in touch with what it started: it can cancel it, and it is told the progress."""

from __future__ import annotations

from dataclasses import dataclass

from envkit.base.events import Stream
from envkit.base.waiting import Cancel


@dataclass(frozen=True)
class Control:
    """`cancel` stops an operation; the operation reports its progress to `stream`."""

    cancel: Cancel
    stream: Stream
