"""Shared memory that a killed PostgreSQL leaves behind: it would be there until the machine is switched off."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

_REMOVE = 0
"""IPC_RMID."""

_KEY = 0xFFFFFFFF
"""Keys are told with and without a sign."""

_ENOUGH = 4096
"""Bytes of the server's file that are read; it has about a hundred."""

_TABLE = Path("/proc/sysvipc/shm")


def forget(data: Path) -> bool:
    """Remove the System V segment that the data directory's `postmaster.pid` names, once nobody uses it. Linux only.

    The file is the service's own to write: only a segment of the user who owns the data directory is removed.

    PostgreSQL removes it when it is stopped, or started again on the same data; after SIGKILL and without data nobody
    does.
    """
    segment = _named_in(data)
    if segment is None or segment not in _unused(data.stat().st_uid):
        return False
    return bool(ctypes.CDLL(None).shmctl(segment[1], _REMOVE, None) == 0)


def owner(data: Path) -> set[int]:
    """The server that works on the data directory, or none: the first line of its `postmaster.pid`."""
    with suppress(OSError, ValueError, IndexError):
        return {int(_lines(data)[0])}
    return set()


def _lines(data: Path) -> list[str]:
    """The lines of the file that the server keeps; never through a link, and never waiting for a pipe."""
    handle = os.open(data / "postmaster.pid", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.read(handle, _ENOUGH).decode(errors="replace").splitlines()
    finally:
        os.close(handle)


def _named_in(data: Path) -> tuple[int, int] | None:
    """Key and id: the seventh line of the file."""
    with suppress(OSError, ValueError, IndexError):
        key, identity = _lines(data)[6].split()
        return int(key) & _KEY, int(identity)
    return None


def _unused(user: int) -> set[tuple[int, int]]:
    """Segments that this user owns and no process is attached to."""
    found = set()
    with suppress(OSError):
        for line in _TABLE.read_text().splitlines()[1:]:
            words = line.split()
            if words[6] == "0" and words[7] == str(user):
                found.add((int(words[0]) & _KEY, int(words[1])))
    return found
