"""The facts that the verdict is based on. They are plain values, so the verdict needs no clock and no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envkit.base.errors import EnvkitError
    from envkit.evidence.junit import Report
    from envkit.watch.timeline import Happening

NOT_IN_TIME = "no answer in time"

FULL = 64 << 20
"""Number of bytes. A disk with less free space than this counts as full."""


@dataclass(frozen=True)
class ServiceFact:
    """The state of one service now. `wrong` describes its fault; it is empty if the service runs and answers."""

    name: str
    wrong: str = ""
    exit_code: int | None = None
    oom: bool = False
    paused: bool = False
    absent: bool = False


@dataclass(frozen=True)
class DiskFact:
    """The free bytes and free file entries of a file system that the environment writes to."""

    path: str
    free: int
    files: int | None = None

    @property
    def full(self) -> bool:
        """Return whether writes to this file system are likely to fail."""
        return self.free < FULL or self.files == 0


@dataclass(frozen=True)
class LogSign:
    """A line in a service's log that shows a cause; `kind` is one of `log_patterns.SIGNS`."""

    service: str
    kind: str
    line: str


@dataclass(frozen=True)
class Findings:
    """All facts that a verdict can use. Times are seconds since 1970.

    `code` is the command's exit code, or None if it never ran. `signum` is the signal that stopped envkit, or 0.
    `ports` maps the environment's host ports to what listens there (`redis.redis`). `services` is None if nothing of
    the environment existed.
    """

    code: int | None = None
    argv: tuple[str, ...] = ()
    signum: int = 0
    began: float = 0.0
    error: EnvkitError | None = None
    happenings: tuple[Happening, ...] = ()
    services: tuple[ServiceFact, ...] | None = None
    engine: str = ""
    """The reason why the engine does not answer; empty if it answers or there is no engine."""
    cluster: str = ""
    """The fault of the API server now; empty if it works or there is no API server."""
    disks: tuple[DiskFact, ...] = ()
    redis: Mapping[str, Mapping[str, float | str]] = field(default_factory=dict)
    """The newest values of each Redis, and the numbers of keys `evicted` and of writes `refused` during the run."""
    logs: tuple[LogSign, ...] = ()
    tests: Report | None = None
    ports: Mapping[int, str] = field(default_factory=dict)

    def well(self, service: str) -> bool:
        """Return whether no fault of the service is known now."""
        if service == "cluster":
            return not self.cluster
        return not any(fact.name == service and fact.wrong for fact in self.services or ())
