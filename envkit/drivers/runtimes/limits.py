"""Memory limits: read from inside a container, and set for a process where this user may make control groups."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from envkit.base import labels
from envkit.base.waiting import within

LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container reads its own memory limit: cgroup v2, then v1."""

HELD = 2.0
"""Seconds that a control group may be held by a process that has ended."""

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


def inside(execute: Callable[[Sequence[str]], tuple[int, str]]) -> str | None:
    """The limit as the container's own kernel tells it; None where the image has no `cat` to ask with."""
    for path in LIMIT_FILES:
        code, output = execute(["cat", path])
        if code == 0:
            return output.strip()
    return None


def group(environment: str, service: str, key: str) -> Path | None:
    """The control group for a service's process, None where this user may not make one. Linux only.

    The dot is in no name of an environment or a service. `key` is the owner's (`Owner.key`): a group carries no label,
    and another owner's environment of the same name has groups of its own.
    """
    home = _home()
    return home / f"{labels.resource_name(environment)}.{service}.{key}" if home else None


def groups(environment: str, key: str) -> list[Path]:
    """Every control group of the environment of this owner that is there."""
    home = _home()
    return sorted(home.glob(f"{labels.resource_name(environment)}.*.{key}")) if home else []


def _home() -> Path | None:
    if (_V1 / "memory.limit_in_bytes").exists() and os.access(_V1, os.W_OK):
        return _V1
    return _delegated()


def _delegated() -> Path | None:
    """This process's own group (cgroup v2), where it may have children with the memory controller."""
    with suppress(OSError):
        own = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
        folder = _V2 / own
        controlled = "memory" in (folder / "cgroup.subtree_control").read_text().split()
        if controlled and os.access(folder, os.W_OK):
            return folder
    return None


def confine(folder: Path, pid: int, memory: int) -> bool:
    """Put the process under the limit, swap off; whether that worked.

    Children that it has already are not moved: it must not have begun.
    """
    try:
        remove(folder)  # its counters would speak of an earlier life
        folder.mkdir(exist_ok=True)
        if (folder / "memory.limit_in_bytes").exists():
            (folder / "memory.limit_in_bytes").write_text(str(memory))
            with suppress(OSError):  # kernels without swap accounting lack it
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
    """The limit of a group, None when there is none."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        with suppress(OSError):
            return (folder / name).read_text().strip()
    return None


def used(folder: Path) -> int:
    """Bytes that count against the group's limit, without what the kernel would give back; 0 when it is not there."""
    with suppress(OSError, ValueError):
        words = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        for name in ("memory.current", "memory.usage_in_bytes"):
            with suppress(OSError):
                given_back = int(words.get("total_inactive_file", words.get("inactive_file", 0)))
                return max(0, int((folder / name).read_text()) - given_back)
    return 0


def ran_out(folder: Path) -> bool:
    """Whether the kernel killed something in the group for want of memory."""
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError):
            words = dict(line.split() for line in (folder / name).read_text().splitlines())
            return int(words.get("oom_kill", 0)) > 0
    return False


def remove(folder: Path) -> bool:
    """Remove an empty group; gone is fine. A process that has just ended holds it for a moment."""

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
