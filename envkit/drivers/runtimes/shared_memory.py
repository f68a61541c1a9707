"""Removes shared memory that a killed PostgreSQL leaves behind; it would exist until the next reboot."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

_REMOVE = 0
"""The value of IPC_RMID."""

_KEY = 0xFFFFFFFF
"""A mask for keys: some sources print them as signed numbers, others as unsigned ones."""

_ENOUGH = 4096
"""The most bytes to read of the server's file; it has about a hundred."""

_TABLE = Path("/proc/sysvipc/shm")


def forget(data: Path) -> bool:
    """Remove the unused System V segment that the data directory's `postmaster.pid` names; return whether it did.

    Linux only. A segment is unused if no process has attached it. The service's user can write this file, so the
    function removes only a segment of the user who owns the data directory. PostgreSQL removes its segment when it
    stops, or when it starts again on the same data. After SIGKILL and without the data, no other program removes it.
    """
    segment = _named_in(data)
    if segment is None or segment not in _unused(data.stat().st_uid):
        return False
    return bool(ctypes.CDLL(None).shmctl(segment[1], _REMOVE, None) == 0)


def owner(data: Path) -> set[int]:
    """Return the pid of the server on the data directory, from line 1 of `postmaster.pid`; empty if there is none."""
    with suppress(OSError, ValueError, IndexError):
        return {int(_lines(data)[0])}
    return set()


def _lines(data: Path) -> list[str]:
    """Return the lines of the server's file; never follows a link, and never waits for a pipe."""
    handle = os.open(data / "postmaster.pid", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.read(handle, _ENOUGH).decode(errors="replace").splitlines()
    finally:
        os.close(handle)


def _named_in(data: Path) -> tuple[int, int] | None:
    """Return key and id of the segment, from the seventh line of the file."""
    with suppress(OSError, ValueError, IndexError):
        key, identity = _lines(data)[6].split()
        return int(key) & _KEY, int(identity)
    return None


def _unused(user: int) -> set[tuple[int, int]]:
    """Return the segments that this user owns and that no process has attached."""
    found = set()
    with suppress(OSError):
        for line in _TABLE.read_text().splitlines()[1:]:
            words = line.split()
            if words[6] == "0" and words[7] == str(user):
                found.add((int(words[0]) & _KEY, int(words[1])))
    return found
