"""Shared memory that a killed PostgreSQL leaves behind: it would be there until the machine is switched off."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

_REMOVE = 0
"""IPC_RMID."""

_KEY = 0xFFFFFFFF
"""Keys are told with and without a sign."""

_TABLE = Path("/proc/sysvipc/shm")


def forget(data: Path) -> bool:
    """Remove the System V segment that the data directory's `postmaster.pid` names, once nobody uses it. Linux only.

    PostgreSQL removes it when it is stopped, or started again on the same data; after SIGKILL and without data nobody
    does.
    """
    segment = _named_in(data / "postmaster.pid")
    if segment is None or segment not in _unused(data.stat().st_uid):
        return False
    return bool(ctypes.CDLL(None).shmctl(segment[1], _REMOVE, None) == 0)


def owner(data: Path) -> set[int]:
    """The server that works on the data directory, or none: the first line of its `postmaster.pid`."""
    with suppress(OSError, ValueError, IndexError):
        return {int((data / "postmaster.pid").read_text().splitlines()[0])}
    return set()


def _named_in(path: Path) -> tuple[int, int] | None:
    """Key and id: the seventh line of the file."""
    with suppress(OSError, ValueError, IndexError):
        key, identity = path.read_text().splitlines()[6].split()
        return int(key) & _KEY, int(identity)
    return None


def _unused(user: int) -> set[tuple[int, int]]:
    """Segments of this user that no process is attached to: whoever may write the file may name any segment in it."""
    found = set()
    with suppress(OSError):
        for line in _TABLE.read_text().splitlines()[1:]:
            words = line.split()
            if words[6] == "0" and int(words[7]) == user:
                found.add((int(words[0]) & _KEY, int(words[1])))
    return found
