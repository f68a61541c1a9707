"""Finds the processes of an environment by their marker variable, and all processes of one service."""

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
"""A second variable of each process with the marker: it contains the name of the service."""

ENGINES_OWN = frozenset({
    "aardvark-dns", "catatonit", "conmon", "fuse-overlayfs", "netavark", "pasta", "pasta.avx2", "podman pause",
    "rootlessport", "rootlessport-child", "slirp4netns",
})  # fmt: skip
"""Helper programs that Podman starts once for all containers of a user, or once for each container. They inherit the
variables of the command that started them, for example kind. envkit must not end them."""

EXEC = 0.5
"""The longest time in seconds that envkit waits for a process to finish its exec call.

After that it reads the process's variables even if they are still empty. The longest measured exec took 0.4 ms.
"""

KERNEL_THREAD = 0x00200000
"""PF_KTHREAD, a bit of the flags in /proc/PID/stat, from Linux' include/linux/sched.h."""


@dataclass(frozen=True)
class Marked:
    """A process with the marker of an environment; `leader` is true if the process leads its session."""

    pid: int
    environment: str
    service: str
    leader: bool
    owner: Owner = UNKNOWN

    def __str__(self) -> str:
        return f"process {self.pid} ({self.service or program_of(self.pid)})"


def marked_processes(environment: str) -> Iterator[Marked]:
    """Yield every process with the environment's marker whose variables this user can read, of any owner."""
    for pid, environ in carrying(labels.MARKER):
        if environ[labels.MARKER] == environment:
            with suppress(OSError):
                leads, owner = os.getsid(pid) == pid, owner_of(pid, environ)
                yield Marked(pid, environment, environ.get(SERVICE, ""), leads, owner)


def ours(environment: str, claim: Claim) -> Iterator[Marked]:
    """Yield the processes with the environment's marker that the claim allows envkit to end."""
    return (it for it in marked_processes(environment) if claim.on(it.owner, process=True).ours)


def owner_of(pid: int, environ: Mapping[str, str]) -> Owner:
    """Return the owner of a process, from its user, namespaces and variables.

    Raises `OSError` if the process no longer exists.
    """
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
    """Return the name of the process's program for messages; empty if the process no longer exists."""
    import psutil

    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return ""


def carrying(variable: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield the pid and the variables of every process that has this variable, except the programs in `ENGINES_OWN`.

    Skips processes whose variables this user cannot read. On Linux this reads /proc directly, because psutil makes four
    system calls for each process, and even an `up` with nothing to do reads all processes.
    """
    if sys.platform != "linux":
        import psutil

        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if variable in (environ := process.environ()):
                    yield process.pid, environ
        return  # `ENGINES_OWN` run on Linux only: elsewhere the engine is in a virtual machine
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
    """Return the variables of a process whose `environ` was empty; wait up to `EXEC` seconds while it is in exec.

    During exec, Linux closes files and wakes the parent before it records where the new program's variables are. Until
    then the file `environ` in /proc is empty: usually for 0.05 ms, and on a busy machine until the kernel runs the
    process again. The `environ` of kernel threads, zombies and processes without variables is always empty.
    """
    if _in_exec(pid):
        within(EXEC, lambda: not _in_exec(pid), every=0.0005)
    return _environ(pid)


def _in_exec(pid: int) -> bool:
    """Return whether the process is in exec: the kernel has not recorded yet where its variables end."""
    stat = stat_of(pid)
    return stat is not None and stat.state not in "ZX" and not stat.flags & KERNEL_THREAD and stat.variables_end == 0


def _is_engines_own(pid: int) -> bool:
    called = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
    named = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    return not ENGINES_OWN.isdisjoint((named, Path(called).name))


def sessions() -> dict[int, set[int]]:
    """Return the processes of every session of this machine, by the pid of the session's leader."""
    found: dict[int, set[int]] = {}
    for pid in pids():
        with suppress(OSError):
            found.setdefault(os.getsid(pid), set()).add(pid)
    return found


def session(leader: int, began: float | None) -> set[int]:
    """Return every process of the session of `leader`; empty if the leader's pid belongs to another process now.

    This does not check the marker variable, because programs such as Redis and PostgreSQL overwrite the memory that
    contains their variables. The kernel does not reuse the session's number while one of its processes exists.
    """
    if is_stranger(leader, began):
        return set()
    return sessions().get(leader, set())


def tree(leader: int, began: float | None, environment: str, service: str, claim: Claim) -> set[int]:
    """Return all processes of a service: its session, their children in other sessions, and processes with its marker.

    Children are included because each child of PostgreSQL leads a separate session. Processes with the marker are
    included because a program in the background has lost its parent; the claim must accept their owner. Never includes
    this process and its parents.
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
