"""Processes that carry an environment's marker, found in what the operating system tells of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from envkit import labels

SERVICE = "ENVKIT_SERVICE"
"""Beside the marker: which service a process belongs to."""

CLOSE = 1.0
"""Start times closer than this, in seconds, are the same process: kernels tell them in clock ticks."""


@dataclass(frozen=True)
class Marked:
    """A process of an environment; `leader` is true for the first of its session."""

    pid: int
    environment: str
    service: str
    leader: bool


def start_time(pid: int) -> float:
    """Seconds since the epoch; 0 when the process is gone."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def alive(pid: int, began: float | None = None) -> bool:
    """Whether the process runs (a zombie does not), and is the one that began then."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return began is None or abs(process.create_time() - began) < CLOSE
    except psutil.Error:
        return False


def marked_processes(environment: str) -> Iterator[Marked]:
    """Every process of the environment that this user may look into."""
    import psutil

    for process in psutil.process_iter():
        try:
            environ = process.environ()
            if environ.get(labels.MARKER) != environment:
                continue
            leader = os.getsid(process.pid) == process.pid
        except (psutil.Error, OSError):
            continue
        service = environ.get(SERVICE, "")
        yield Marked(process.pid, environment, service, leader)
