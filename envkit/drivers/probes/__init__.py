"""Checks whether a service is ready: one module for each kind of probe. An attempt returns None if it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envkit.base.deadline import Deadline
from envkit.base.ports import LOOPBACK

if TYPE_CHECKING:
    from envkit.base.waiting import Cancel

ATTEMPT_SECONDS = 2.0
"""One attempt in all, its connection, headers and body: longer than a healthy answer on a busy machine."""

LIMITED = "envkit's program in /usr/local/sbin was not run; see options.superuser in docs/services.md"
"""Why clients have more rights than expected: the image's PATH does not begin as Debian's, or `files` was replaced."""

Executor = Callable[[tuple[str, ...]], tuple[int, str]]


@dataclass(frozen=True)
class Target:
    """Where a service is, as seen from the host; `execute` runs a command beside it. `cancel` ends an attempt."""

    port: Callable[[str], int]
    execute: Executor
    host: str = LOOPBACK
    cancel: Cancel | None = None

    def deadline(self) -> Deadline:
        """The end of an attempt that begins now."""
        return Deadline(ATTEMPT_SECONDS, self.cancel)
