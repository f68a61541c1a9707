"""Two objects that a command passes to an operation: one cancels the operation, the other receives its progress."""

from __future__ import annotations

from dataclasses import dataclass

from envkit.base.events import Stream
from envkit.base.waiting import Cancel


@dataclass(frozen=True)
class Control:
    """`cancel` stops an operation; the operation reports its progress to `stream`."""

    cancel: Cancel
    stream: Stream
