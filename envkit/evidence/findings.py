"""What the verdict is reached from: plain values, gathered before it and looked at by nobody else's clock."""

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
"""Bytes: a disk with less than this is full for whatever writes there."""


@dataclass(frozen=True)
class ServiceFact:
    """One service now. `wrong` says what is the matter with it, empty when it runs and answers."""

    name: str
    wrong: str = ""
    exit_code: int | None = None
    oom: bool = False
    paused: bool = False
    absent: bool = False


@dataclass(frozen=True)
class DiskFact:
    """A file system that the environment writes to: what is free, in bytes and in files."""

    path: str
    free: int
    files: int | None = None

    @property
    def full(self) -> bool:
        """Whether whatever writes there must expect to fail."""
        return self.free < FULL or self.files == 0


@dataclass(frozen=True)
class LogSign:
    """A line in a service's log that speaks for itself; `kind` is one of `log_patterns.SIGNS`."""

    service: str
    kind: str
    line: str


@dataclass(frozen=True)
class Findings:
    """Everything that a verdict may look at. Times are seconds since 1970.

    `code` is the command's exit code, None when it never ran; `signum` the signal that asked envkit to stop, or 0.
    `ports` are the environment's host ports, with what listens there (`redis.redis`). `services` is None when nothing
    of the environment was there.
    """

    code: int | None = None
    argv: tuple[str, ...] = ()
    signum: int = 0
    began: float = 0.0
    error: EnvkitError | None = None
    happenings: tuple[Happening, ...] = ()
    services: tuple[ServiceFact, ...] | None = None
    engine: str = ""
    """Why the engine does not answer, empty when it does or there is none."""
    cluster: str = ""
    """What is wrong with the API server now."""
    disks: tuple[DiskFact, ...] = ()
    redis: Mapping[str, Mapping[str, float | str]] = field(default_factory=dict)
    """The newest sample of each Redis, with `evicted` (keys dropped during the run) where two samples tell it."""
    logs: tuple[LogSign, ...] = ()
    tests: Report | None = None
    ports: Mapping[int, str] = field(default_factory=dict)

    def well(self, service: str) -> bool:
        """Whether the service is fine now, as far as was seen."""
        if service == "cluster":
            return not self.cluster
        return not any(fact.name == service and fact.wrong for fact in self.services or ())
