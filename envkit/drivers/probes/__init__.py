"""Probes check whether a service is ready; each kind has a module.

An attempt returns None if the service is ready, or else the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envkit.base.deadline import Deadline
from envkit.base.ports import LOOPBACK

if TYPE_CHECKING:
    from envkit.base.waiting import Cancel

ATTEMPT_SECONDS = 2.0
"""Time limit for one attempt with connection, headers and body: a healthy service on a busy host needs less."""

LIMITED = "envkit's program in /usr/local/sbin was not run; see options.superuser in docs/services.md"
"""The message if clients have too many rights. The cause is that the image's PATH does not begin like Debian's, or that
`files` was replaced."""

Executor = Callable[[tuple[str, ...]], tuple[int, str]]


@dataclass(frozen=True)
class Target:
    """The address at which the host reaches a service.

    `execute` runs a command beside the service, for example in its container; `cancel` ends an attempt.
    """

    port: Callable[[str], int]
    execute: Executor
    host: str = LOOPBACK
    cancel: Cancel | None = None

    def deadline(self) -> Deadline:
        """Return the deadline of an attempt that begins now."""
        return Deadline(ATTEMPT_SECONDS, self.cancel)
