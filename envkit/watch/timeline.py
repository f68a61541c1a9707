"""The record of a run: happenings, samples and results of probes, as JSON lines.

Each line is written with one call and can be read without the other lines. An incomplete last line is skipped.
Therefore the files can be read at any time, even after a SIGKILL of the writer.
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
    "evicting",  # Redis evicts keys; detail: evicted_keys
    "disk",  # nearly full; detail: path, free (bytes)
    "error",  # an error of envkit; detail: class, exit_code
    "note",
]  # fmt: skip

Scalar = str | int | float | bool | None

TROUBLE: frozenset[str] = frozenset(
    {"died", "restarted", "oom", "memory", "unhealthy", "apiserver", "disk", "evicting", "error"}
)
"""Kinds that show a fault of the environment."""


@dataclass(frozen=True)
class Happening:
    """An event of the run. `at` is in seconds since 1970; `service` is empty if it concerns no service."""

    at: float
    kind: Kind
    service: str = ""
    message: str = ""
    detail: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """The numbers that a service reported at one moment.

    Redis: `used_memory`, `maxmemory`, `used_memory_peak`, `evicted_keys`, `rejected_connections`, `connected_clients`,
    `uptime_in_seconds`, `run_id`, `maxmemory_policy`. PostgreSQL: `connections`, `max_connections`, `database_bytes`,
    `xact_rollback`, `deadlocks`. The API server (service `cluster`): `ready` (1 or 0), `latency` (seconds), `rejected`
    (requests refused with 429 since its start). A service with a memory limit: `memory`, `memory_limit` (bytes).
    """

    at: float
    service: str
    values: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProbeSeen:
    """One attempt of a service's probe; `seen` describes what was wrong and is empty if the attempt passed."""

    at: float
    service: str
    ok: bool
    seen: str = ""


Line = Happening | Sample | ProbeSeen
T = TypeVar("T", Happening, Sample, ProbeSeen)


def now() -> float:
    """Return the time in seconds since 1970, as all timelines record it."""
    return time.time()


def render(line: Line) -> str:
    """Return the line as one JSON object without line breaks."""
    return json.dumps(asdict(line))


def parse(text: str, kind: type[T]) -> T | None:
    """Return the line as a value of the class `kind`; None if the line is incomplete or of another envkit version."""
    try:
        raw: dict[str, Any] = json.loads(text)
        return kind(**raw)
    except (ValueError, TypeError):
        return None


def read(path: Path, kind: type[T]) -> Iterator[T]:
    """Yield every complete line of the file, or nothing if the file does not exist."""
    try:
        with path.open(errors="replace") as file:
            for text in file:
                if (line := parse(text, kind)) is not None:
                    yield line
    except FileNotFoundError:
        return


class Writer:
    """Appends lines to a file from any thread. After `most` bytes it writes only one of every `thin` lines."""

    def __init__(self, path: Path, most: int = 8 << 20, thin: int = 20) -> None:
        self._file: IO[bytes] = os.fdopen(append_private(path), "ab", buffering=0)
        self._size = path.stat().st_size
        self._most, self._thin, self._skipped = most, thin, 0
        self._lock = threading.Lock()

    def __call__(self, line: Line) -> None:
        """Write the line at once, because a SIGKILL can follow."""
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
        """Close the file; later lines are ignored."""
        with self._lock:
            self._file.close()
