"""Reads memory limits inside containers, and sets them for processes if this user is allowed to make control groups."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from envkit.base import labels
from envkit.base.waiting import within

LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""The files in which a container can read its own memory limit: first for cgroup v2, then for v1."""

HELD = 2.0
"""The longest wait in seconds while a process that has just ended still occupies its control group."""

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


def inside(execute: Callable[[Sequence[str]], tuple[int, str]]) -> str | None:
    """Return the memory limit that the kernel shows inside the container; None if its image has no `cat`."""
    for path in LIMIT_FILES:
        code, output = execute(["cat", path])
        if code == 0:
            return output.strip()
    return None


def group(environment: str, service: str, key: str) -> Path | None:
    """Return the path for the control group of a service's processes; None if this user is not allowed to make groups.

    Control groups exist on Linux only. Names of environments and services contain no dot, so each path belongs to one
    service. `key` is `Owner.key`: it is in the path because a control group has no labels, and two owners can have an
    environment of the same name.
    """
    home = _home()
    return home / f"{labels.resource_name(environment)}.{service}.{key}" if home else None


def groups(environment: str, key: str) -> list[Path]:
    """Return the existing control groups of this owner's environment; `key` is `Owner.key`."""
    home = _home()
    return sorted(home.glob(f"{labels.resource_name(environment)}.*.{key}")) if home else []


def _home() -> Path | None:
    if (_V1 / "memory.limit_in_bytes").exists() and os.access(_V1, os.W_OK):
        return _V1
    return _delegated()


def _delegated() -> Path | None:
    """Return this process's own group (cgroup v2), or None if this user cannot make groups with a limit in it."""
    with suppress(OSError):
        own = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
        folder = _V2 / own
        controlled = "memory" in (folder / "cgroup.subtree_control").read_text().split()
        if controlled and os.access(folder, os.W_OK):
            return folder
    return None


def confine(folder: Path, pid: int, memory: int) -> bool:
    """Put the process into the group `folder` with a limit of `memory` bytes and no swap; return whether that worked.

    Call this function before the process starts its program, because the process's existing children stay
    outside of the group.
    """
    try:
        remove(folder)  # an existing group has the counters of an earlier process
        folder.mkdir(exist_ok=True)
        if (folder / "memory.limit_in_bytes").exists():
            (folder / "memory.limit_in_bytes").write_text(str(memory))
            with suppress(OSError):  # kernels without swap accounting lack this file
                (folder / "memory.memsw.limit_in_bytes").write_text(str(memory))
        else:
            (folder / "memory.max").write_text(str(memory))
            with suppress(OSError):
                (folder / "memory.swap.max").write_text("0")
        (folder / "cgroup.procs").write_text(str(pid))
    except OSError:
        remove(folder)
        return False
    return True


def confined(folder: Path) -> str | None:
    """Return the group's memory limit as text, or None if the group does not exist or has no limit file."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        with suppress(OSError):
            return (folder / name).read_text().strip()
    return None


def used(folder: Path) -> int:
    """Return the bytes that count against the group's limit, without reclaimable cache; 0 if they cannot be read."""
    with suppress(OSError, ValueError):
        words = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        for name in ("memory.current", "memory.usage_in_bytes"):
            with suppress(OSError):
                given_back = int(words.get("total_inactive_file", words.get("inactive_file", 0)))
                return max(0, int((folder / name).read_text()) - given_back)
    return 0


def ran_out(folder: Path) -> bool:
    """Return whether the kernel has killed a process in the group because it reached the memory limit."""
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError):
            words = dict(line.split() for line in (folder / name).read_text().splitlines())
            return int(words.get("oom_kill", 0)) > 0
    return False


def remove(folder: Path) -> bool:
    """Remove an empty group; return whether the group no longer exists.

    Waits up to `HELD` seconds, because a process that has just ended still occupies its group.
    """

    def gone() -> bool:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    try:
        return within(HELD, gone)
    except OSError:
        return False
