"""What a run leaves behind: happenings, samples and probe answers, as JSON lines that survive whoever wrote them.

Each line is written with one call and stands for itself, so a reader may come at any moment, also after a SIGKILL: a
torn last line is skipped.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from envkit.base.paths import append_private

Kind = Literal[
    "phase",  # what `run` does: up, reset, command, evidence, down
    "command",  # the command begins and ends; detail: pid, exit_code, run
    "died", "restarted", "oom",  # detail: exit_code, oom, pid or container
    "memory",  # near its limit; detail: used, limit (bytes), share
    "unhealthy", "recovered",  # a probe; detail: seen
    "apiserver",  # unreachable or throttling; detail: seen, status, latency
    "evicting",  # Redis drops keys; detail: evicted_keys
    "disk",  # nearly full; detail: path, free (bytes)
    "error",  # an error of envkit's; detail: class, exit_code
    "note",
]  # fmt: skip

Scalar = str | int | float | bool | None

TROUBLE: frozenset[str] = frozenset(
    {"died", "restarted", "oom", "memory", "unhealthy", "apiserver", "disk", "evicting", "error"}
)
"""Kinds that speak against the environment."""


@dataclass(frozen=True)
class Happening:
    """Something that happened; `at` is seconds since 1970, `service` empty when it is about none."""

    at: float
    kind: Kind
    service: str = ""
    message: str = ""
    detail: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """What a service said of itself at a moment.

    Redis: `used_memory`, `maxmemory`, `used_memory_peak`, `evicted_keys`, `rejected_connections`, `connected_clients`,
    `uptime_in_seconds`, `run_id`, `maxmemory_policy`. PostgreSQL: `connections`, `max_connections`, `database_bytes`,
    `xact_rollback`, `deadlocks`. The API server (service `cluster`): `ready` (1 or 0), `latency` (seconds), `rejected`
    (requests refused with 429 since it began). Of a service whose memory is limited: `memory`, `memory_limit` (bytes).
    """

    at: float
    service: str
    values: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProbeSeen:
    """One attempt of a service's probe; `seen` says what was wrong, empty when it passed."""

    at: float
    service: str
    ok: bool
    seen: str = ""


Line = Happening | Sample | ProbeSeen
T = TypeVar("T", Happening, Sample, ProbeSeen)


def now() -> float:
    """The clock of every timeline: seconds since 1970."""
    return time.time()


def render(line: Line) -> str:
    """One JSON object, on one line."""
    return json.dumps(asdict(line))


def parse(text: str, kind: type[T]) -> T | None:
    """The line as that kind; None for what is torn or written by another version."""
    try:
        raw: dict[str, Any] = json.loads(text)
        return kind(**raw)
    except (ValueError, TypeError):
        return None


def read(path: Path, kind: type[T]) -> Iterator[T]:
    """Every whole line of the file; nothing when there is no file."""
    try:
        with path.open(errors="replace") as file:
            for text in file:
                if (line := parse(text, kind)) is not None:
                    yield line
    except FileNotFoundError:
        return


class Writer:
    """Appends lines to a file, from any thread, until it is `most` bytes long; then one line in `thin` is kept."""

    def __init__(self, path: Path, most: int = 8 << 20, thin: int = 20) -> None:
        self._file: IO[bytes] = os.fdopen(append_private(path), "ab", buffering=0)
        self._size = path.stat().st_size
        self._most, self._thin, self._skipped = most, thin, 0
        self._lock = threading.Lock()

    def __call__(self, line: Line) -> None:
        """Write it at once: what follows may be a SIGKILL."""
        data = (render(line) + "\n").encode()
        with self._lock:
            if self._file.closed:
                return
            if self._size + len(data) > self._most:
                self._skipped += 1
                if self._skipped % self._thin:
                    return
            self._size += self._file.write(data)

    def close(self) -> None:
        """Give the file back; what comes later is lost."""
        with self._lock:
            self._file.close()
