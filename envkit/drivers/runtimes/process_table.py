"""Processes of this machine, identified by pid and start time, because the kernel reuses pids."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from envkit.base.owner import namespace

CLOSE = 0.005
"""Two start times of one pid that differ by less than this many seconds mean the same process. Linux counts start times
in ticks, usually of 0.01 s."""


@dataclass(frozen=True)
class Stat:
    """Facts that Linux reports about a process: the letter of its state, its number of threads, its start in ticks."""

    state: str
    threads: int
    began: int
    flags: int = 0
    variables_end: int = -1


def stat_of(pid: int) -> Stat | None:
    """Return the facts that Linux reports about the process; None if it no longer exists.

    This reads /proc directly, because importing psutil takes 0.02 s, too long for an `up` with nothing to do.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return Stat(after_name[0], int(after_name[17]), int(after_name[19]), int(after_name[6]), int(after_name[48]))


def pids() -> list[int]:
    """Return the pid of every process of this machine."""
    if sys.platform == "linux":
        return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    import psutil

    return list(psutil.pids())


def start_time(pid: int) -> float:
    """Return the start time of the process in seconds; 0 if it no longer exists. Use the result only for comparisons.

    On Linux these are seconds since the boot, because psutil's value changes when somebody sets the clock.
    """
    if sys.platform == "linux":
        stat = stat_of(pid)
        return stat.began / os.sysconf("SC_CLK_TCK") if stat else 0.0
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


@cache
def boot() -> str:
    """Return an id of this boot of the machine; start times of processes are valid only in the same boot."""
    if sys.platform == "linux":
        with suppress(OSError):
            return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    import psutil

    return str(int(psutil.boot_time()))


@dataclass(frozen=True)
class Stamp:
    """A process in a form that can be stored: its pid with its start time, boot and PID namespace."""

    pid: int
    began: float
    boot: str = ""
    """The id that `boot` returned; empty in records of earlier versions of envkit."""
    pids: str = ""

    @classmethod
    def of(cls, pid: int) -> Stamp:
        """Return the stamp of a process that runs now in this PID namespace."""
        return cls(pid, start_time(pid), boot(), namespace("pid"))

    @classmethod
    def read(cls, raw: object) -> Stamp | None:
        """Return the stamp from the list that `written` returned, or None if `raw` is something else."""
        if not isinstance(raw, Sequence) or isinstance(raw, str) or len(raw) not in (2, 4):
            return None
        with suppress(TypeError, ValueError):
            return cls(int(raw[0]), float(raw[1]), *map(str, raw[2:]))
        return None

    def written(self) -> list[int | float | str]:
        """Return the stamp as a list for a JSON file."""
        return [self.pid, self.began, self.boot, self.pids]

    @property
    def means_something(self) -> bool:
        """Whether the pid comes from this boot and this PID namespace. Only such a pid identifies a process."""
        return self.boot in ("", boot()) and self.pids in ("", namespace("pid"))

    @property
    def alive(self) -> bool:
        """Whether the process runs; false if its pid comes from another boot or PID namespace."""
        return self.means_something and alive(self.pid, self.began)

    @property
    def gone(self) -> bool:
        """Whether the process has certainly ended; false if its pid comes from another PID namespace of this boot."""
        if self.boot not in ("", boot()):
            return True
        return self.means_something and not alive(self.pid, self.began)


def alive(pid: int, began: float | None = None) -> bool:
    """Return whether the process runs and, if `began` is given, began at that time.

    A zombie with one thread does not run. A zombie with more threads does: only its first thread has ended, and the
    other threads still hold its ports.
    """
    if sys.platform == "linux":
        stat = stat_of(pid)
        return bool(stat and not (stat.state == "Z" and stat.threads <= 1)) and not is_stranger(pid, began)
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
            return False
    except psutil.Error:
        return False
    return not is_stranger(pid, began)


def is_stopped(pid: int) -> bool:
    """Return whether the process is stopped (SIGSTOP) and has not been continued (SIGCONT)."""
    if sys.platform == "linux":
        stat = stat_of(pid)
        return bool(stat and stat.state == "T")
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def is_stranger(pid: int, began: float | None) -> bool:
    """Return whether the pid now belongs to a process that did not begin at `began`; false if `began` is None."""
    now = start_time(pid)
    return began is not None and now > 0 and abs(now - began) >= CLOSE
