"""Removes the shared memory that a killed PostgreSQL leaves behind and that would exist until the next reboot."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

_REMOVE = 0
"""The value of IPC_RMID."""

_KEY = 0xFFFFFFFF
"""A mask for the keys of segments, because some sources print them as signed numbers, others as unsigned ones."""

_ENOUGH = 4096
"""The largest number of bytes to read from `postmaster.pid`. PostgreSQL writes about a hundred bytes."""

_TABLE = Path("/proc/sysvipc/shm")


def forget(data: Path) -> bool:
    """Remove the unused System V segment that the data directory's `postmaster.pid` names; return whether it worked.

    Works on Linux only. A segment is unused if no process has attached it. The service's user can write
    `postmaster.pid`, so this removes only a segment of the user who owns the data directory. PostgreSQL removes
    its segment when it stops, or when it starts again on the same data. After SIGKILL and without the data, no other
    program removes the segment.
    """
    segment = _named_in(data)
    if segment is None or segment not in _unused(data.stat().st_uid):
        return False
    return bool(ctypes.CDLL(None).shmctl(segment[1], _REMOVE, None) == 0)


def owner(data: Path) -> set[int]:
    """Return the pid of the PostgreSQL server in a set, from line 1 of `postmaster.pid`; empty if it cannot be read."""
    with suppress(OSError, ValueError, IndexError):
        return {int(_lines(data)[0])}
    return set()


def _lines(data: Path) -> list[str]:
    """Return the lines of `postmaster.pid`. This follows no link and waits for no pipe."""
    handle = os.open(data / "postmaster.pid", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.read(handle, _ENOUGH).decode(errors="replace").splitlines()
    finally:
        os.close(handle)


def _named_in(data: Path) -> tuple[int, int] | None:
    """Return the key and the id of the segment, from line 7 of `postmaster.pid`; None if they cannot be read."""
    with suppress(OSError, ValueError, IndexError):
        key, identity = _lines(data)[6].split()
        return int(key) & _KEY, int(identity)
    return None


def _unused(user: int) -> set[tuple[int, int]]:
    """Return the key and the id of each segment that this user owns and that no process has attached."""
    found = set()
    with suppress(OSError):
        for line in _TABLE.read_text().splitlines()[1:]:
            words = line.split()
            if words[6] == "0" and words[7] == str(user):
                found.add((int(words[0]) & _KEY, int(words[1])))
    return found
