"""Measures the resources that a service uses: memory now, and processor time since the start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Usage:
    """The resources in use: `memory` in bytes, `cpu` in seconds of one processor."""

    memory: int = 0
    cpu: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.memory + other.memory, self.cpu + other.cpu)


def of_stats(said: Mapping[str, Any]) -> Usage:
    """Return the usage from an engine's answer about a container's statistics; zeros for a container that does not run.

    The memory does not include reclaimable cache.
    """
    memory = said.get("memory_stats") or {}
    known = memory.get("stats") or {}
    given_back = int(known.get("total_inactive_file", known.get("inactive_file", 0)))
    nanoseconds = int(((said.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage") or 0)
    return Usage(max(0, int(memory.get("usage") or 0) - given_back), nanoseconds / 1e9)


def of_processes(pids: Iterable[int]) -> Usage:
    """Return the usage of all processes together. On Linux, memory that they share counts only once."""
    import psutil

    total = Usage()
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            times = process.cpu_times()
            total += Usage(_memory(process), times.user + times.system)
    return total


def _memory(process: Any) -> int:
    import psutil

    with suppress(psutil.Error, AttributeError):
        return int(process.memory_full_info().pss)
    return int(process.memory_info().rss)
