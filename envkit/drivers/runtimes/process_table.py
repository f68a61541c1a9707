"""Processes of this machine by number and start time: a number alone is given to another process later."""

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
"""Start times closer than this, in seconds, are the same process: kernels tell them in ticks of a hundredth."""


@dataclass(frozen=True)
class Stat:
    """What the kernel (Linux) says of a process: its state's letter, its threads, its start in ticks."""

    state: str
    threads: int
    began: int
    flags: int = 0
    variables_end: int = -1


def stat_of(pid: int) -> Stat | None:
    """Return what the kernel says of the process; None when it is gone.

    Read here: importing psutil takes 0.02 s, which an `up` with nothing to do would wait for.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return Stat(after_name[0], int(after_name[17]), int(after_name[19]), int(after_name[6]), int(after_name[48]))


def pids() -> list[int]:
    """Return the number of every process of this machine."""
    if sys.platform == "linux":
        return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    import psutil

    return list(psutil.pids())


def start_time(pid: int) -> float:
    """When the process began, in seconds; 0 when it is gone. Only good to compare with what was told before.

    On Linux since the machine was switched on: what psutil tells moves whenever the clock is set.
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
    """This start of the machine; start times of processes mean nothing in another one."""
    if sys.platform == "linux":
        with suppress(OSError):
            return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    import psutil

    return str(int(psutil.boot_time()))


@dataclass(frozen=True)
class Stamp:
    """A process as it may be written down: its number alone is given to another one later."""

    pid: int
    began: float
    boot: str = ""
    """Empty in what earlier versions wrote."""
    pids: str = ""

    @classmethod
    def of(cls, pid: int) -> Stamp:
        """The stamp of a process that runs now in this PID namespace."""
        return cls(pid, start_time(pid), boot(), namespace("pid"))

    @classmethod
    def read(cls, raw: object) -> Stamp | None:
        """The stamp that `written` gave, or None where a file holds something else."""
        if not isinstance(raw, Sequence) or isinstance(raw, str) or len(raw) not in (2, 4):
            return None
        with suppress(TypeError, ValueError):
            return cls(int(raw[0]), float(raw[1]), *map(str, raw[2:]))
        return None

    def written(self) -> list[int | float | str]:
        """For a JSON file."""
        return [self.pid, self.began, self.boot, self.pids]

    @property
    def means_something(self) -> bool:
        """Whether the number means a process of this boot in this PID namespace."""
        return self.boot in ("", boot()) and self.pids in ("", namespace("pid"))

    @property
    def alive(self) -> bool:
        """Whether that process runs, as far as can be seen from here."""
        return self.means_something and alive(self.pid, self.began)

    @property
    def gone(self) -> bool:
        """Whether that process has ended for certain: one in another PID namespace may run without being seen."""
        if self.boot not in ("", boot()):
            return True
        return self.means_something and not alive(self.pid, self.began)


def alive(pid: int, began: float | None = None) -> bool:
    """Whether the process runs, and is the one that began then.

    A zombie does not; but a first thread that has ended before the others looks like one, and they hold its ports.
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
    """Whether it was told to stop and not yet to go on (SIGSTOP, SIGCONT)."""
    if sys.platform == "linux":
        stat = stat_of(pid)
        return bool(stat and stat.state == "T")
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def is_stranger(pid: int, began: float | None) -> bool:
    """Whether the number has been given to another process since."""
    now = start_time(pid)
    return began is not None and now > 0 and abs(now - began) >= CLOSE
