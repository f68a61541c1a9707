"""Processes that carry an environment's marker, and all that belongs to one of its services."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from envkit.base import labels
from envkit.base.owner import UNKNOWN, Claim, Owner, namespace
from envkit.base.waiting import within
from envkit.drivers.runtimes.process_table import is_stranger, pids, stat_of

SERVICE = "ENVKIT_SERVICE"
"""Beside the marker: which service a process belongs to."""

ENGINES_OWN = frozenset({
    "aardvark-dns", "catatonit", "conmon", "fuse-overlayfs", "netavark", "pasta", "pasta.avx2", "podman pause",
    "rootlessport", "rootlessport-child", "slirp4netns",
})  # fmt: skip
"""Helpers that Podman's command line starts once for all containers of a user (names, user namespace), or for one
container as long as it lives: they inherit the variables of whoever came first, kind for one, and are nobody's to end.
"""

EXEC = 0.5
"""Seconds that a process may be in exec before its variables count as missing; 0.4 ms was the longest measured."""

KERNEL_THREAD = 0x00200000
"""PF_KTHREAD, a bit of the flags in /proc/PID/stat: include/linux/sched.h."""


@dataclass(frozen=True)
class Marked:
    """A process of an environment; `leader` is true for the first of its session."""

    pid: int
    environment: str
    service: str
    leader: bool
    owner: Owner = UNKNOWN

    def __str__(self) -> str:
        return f"process {self.pid} ({self.service or program_of(self.pid)})"


def marked_processes(environment: str) -> Iterator[Marked]:
    """Every process with the environment's marker that this user may look into, whoever's it is."""
    for pid, environ in carrying(labels.MARKER):
        if environ[labels.MARKER] == environment:
            with suppress(OSError):
                leads, owner = os.getsid(pid) == pid, owner_of(pid, environ)
                yield Marked(pid, environment, environ.get(SERVICE, ""), leads, owner)


def ours(environment: str, claim: Claim) -> Iterator[Marked]:
    """Those of them that this claim may end."""
    return (it for it in marked_processes(environment) if claim.on(it.owner, process=True).ours)


def owner_of(pid: int, environ: Mapping[str, str]) -> Owner:
    """Who made a process, by its user, its namespaces and its variables. Raises `OSError` when it is gone."""
    if sys.platform == "linux":
        user = Path(f"/proc/{pid}").stat().st_uid
    else:
        import psutil

        try:
            user = psutil.Process(pid).uids().real
        except psutil.Error as error:
            raise ProcessLookupError(pid) from error
    return labels.owner_of_marks(environ, str(user), namespace("mnt", pid), namespace("pid", pid))


def program_of(pid: int) -> str:
    """The name of its program, for people; empty when it is gone."""
    import psutil

    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return ""


def carrying(variable: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Pid and variables of every process that has this one, as far as this user may look; but no engine's own.

    On Linux read here: psutil asks the kernel four times for each process, and an `up` with nothing to do looks at all
    of them.
    """
    if sys.platform != "linux":
        import psutil

        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if variable in (environ := process.environ()):
                    yield process.pid, environ
        return  # engines are in a virtual machine there
    empty = []
    for pid in pids():
        with suppress(OSError):
            if said := _environ(pid):
                yield from _if_carrying(variable, pid, said)
            else:
                empty.append(pid)
    for pid in empty:
        with suppress(OSError):
            yield from _if_carrying(variable, pid, _environ_after_exec(pid))


def _environ(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def _if_carrying(variable: str, pid: int, said: bytes) -> Iterator[tuple[int, Mapping[str, str]]]:
    if variable.encode() in said:
        words = said.decode(errors="surrogateescape").split("\0")
        environ = {name: value for name, _, value in (word.partition("=") for word in words)}
        if variable in environ and not _is_engines_own(pid):
            yield pid, environ


def _environ_after_exec(pid: int) -> bytes:
    """Return the variables of a process that showed none; wait while it is between two programs, `EXEC` at most.

    Linux closes files and wakes a parent in exec before it records where the new program's variables are. Until then
    `environ` is empty: for 0.05 ms usually, for as long as the kernel runs something else on a busy machine. Kernel
    threads, zombies and processes without variables are empty for good.
    """
    if _in_exec(pid):
        within(EXEC, lambda: not _in_exec(pid), every=0.0005)
    return _environ(pid)


def _in_exec(pid: int) -> bool:
    """Whether the kernel has not recorded yet where the process's variables end."""
    stat = stat_of(pid)
    return stat is not None and stat.state not in "ZX" and not stat.flags & KERNEL_THREAD and stat.variables_end == 0


def _is_engines_own(pid: int) -> bool:
    called = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
    named = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    return not ENGINES_OWN.isdisjoint((named, Path(called).name))


def sessions() -> dict[int, set[int]]:
    """Every session of this machine with its processes, by its leader's number."""
    found: dict[int, set[int]] = {}
    for pid in pids():
        with suppress(OSError):
            found.setdefault(os.getsid(pid), set()).add(pid)
    return found


def session(leader: int, began: float | None) -> set[int]:
    """Every process of that session; none when the number belongs to a stranger by now.

    Programs rewrite the memory that their variables are read from (Redis, PostgreSQL), so a member is known by its
    session alone: its number is not given away while one member lives.
    """
    if is_stranger(leader, began):
        return set()
    return sessions().get(leader, set())


def tree(leader: int, began: float | None, environment: str, service: str, claim: Claim) -> set[int]:
    """All that a service is made of: its session, children in sessions of their own, and what carries its marker.

    A marker counts only on processes that the claim covers.

    PostgreSQL's children each lead a session; what was started in the background has lost its parent.
    """
    import psutil

    found = session(leader, began)
    if found:
        for pid in tuple(found):
            with suppress(psutil.Error):
                found |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
    found |= {marked.pid for marked in ours(environment, claim) if marked.service == service}
    with suppress(psutil.Error):
        found -= {parent.pid for parent in psutil.Process().parents()}
    return found - {os.getpid()}
