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
"""Start times that differ by less than this, in seconds, are the same process: kernels count in ticks of 0.01 s."""


@dataclass(frozen=True)
class Stat:
    """What Linux reports about a process: the letter of its state, its number of threads, its start time in ticks."""

    state: str
    threads: int
    began: int
    flags: int = 0
    variables_end: int = -1


def stat_of(pid: int) -> Stat | None:
    """Return what Linux reports about the process; None if it no longer exists.

    This reads /proc directly: importing psutil takes 0.02 s, and an `up` with nothing to do would wait for it.
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
    """Return when the process began, in seconds; 0 if it no longer exists. Use it only for comparisons.

    On Linux the time counts from the boot: psutil's value changes when the clock is set.
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
    """Empty in records of earlier versions."""
    pids: str = ""

    @classmethod
    def of(cls, pid: int) -> Stamp:
        """Return the stamp of a process that runs now in this PID namespace."""
        return cls(pid, start_time(pid), boot(), namespace("pid"))

    @classmethod
    def read(cls, raw: object) -> Stamp | None:
        """Return the stamp from the result of `written`, or None if a file contains something else."""
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
        """Return whether the pid belongs to this boot and this PID namespace."""
        return self.boot in ("", boot()) and self.pids in ("", namespace("pid"))

    @property
    def alive(self) -> bool:
        """Return whether the process runs, as far as this process can see it."""
        return self.means_something and alive(self.pid, self.began)

    @property
    def gone(self) -> bool:
        """Return whether the process has certainly ended. In another PID namespace it may run without being visible."""
        if self.boot not in ("", boot()):
            return True
        return self.means_something and not alive(self.pid, self.began)


def alive(pid: int, began: float | None = None) -> bool:
    """Return whether the process runs and, if `began` is given, began at that time.

    A zombie does not run. But if the first thread ends before the others, the process appears to be a zombie while the
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
    """Return whether the pid now belongs to another process than the one that began at `began`."""
    now = start_time(pid)
    return began is not None and now > 0 and abs(now - began) >= CLOSE
