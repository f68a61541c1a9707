"""Processes that carry an environment's marker, and all that belongs to one of its services."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from envkit.base import labels
from envkit.base.owner import UNKNOWN, Claim, Owner, namespace
from envkit.base.waiting import within

SERVICE = "ENVKIT_SERVICE"
"""Beside the marker: which service a process belongs to."""

ENGINES_OWN = frozenset({
    "aardvark-dns", "catatonit", "conmon", "fuse-overlayfs", "netavark", "pasta", "pasta.avx2", "podman pause",
    "rootlessport", "rootlessport-child", "slirp4netns",
})  # fmt: skip
"""Helpers that Podman's command line starts once for all containers of a user (names, user namespace), or for one
container as long as it lives: they inherit the variables of whoever came first, kind for one, and are nobody's to end.
"""

CLOSE = 0.005
"""Start times closer than this, in seconds, are the same process: kernels tell them in ticks of a hundredth."""


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


@dataclass(frozen=True)
class _Stat:
    """What the kernel (Linux) says of a process: its state's letter, its threads, its start in ticks."""

    state: str
    threads: int
    began: int
    flags: int = 0
    variables_end: int = -1


def _stat(pid: int) -> _Stat | None:
    """Read here: importing psutil takes 0.02 s, which an `up` with nothing to do would wait for."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return _Stat(after_name[0], int(after_name[17]), int(after_name[19]), int(after_name[6]), int(after_name[48]))


def _pids() -> list[int]:
    if sys.platform == "linux":
        return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    import psutil

    return list(psutil.pids())


def start_time(pid: int) -> float:
    """When the process began, in seconds; 0 when it is gone. Only good to compare with what was told before.

    On Linux since the machine was switched on: what psutil tells moves whenever the clock is set.
    """
    if sys.platform == "linux":
        stat = _stat(pid)
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
        stat = _stat(pid)
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
        stat = _stat(pid)
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
    for pid in _pids():
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
    stat = _stat(pid)
    return stat is not None and stat.state not in "ZX" and not stat.flags & KERNEL_THREAD and stat.variables_end == 0


def _is_engines_own(pid: int) -> bool:
    called = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
    named = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    return not ENGINES_OWN.isdisjoint((named, Path(called).name))


def sessions() -> dict[int, set[int]]:
    """Every session of this machine with its processes, by its leader's number."""
    found: dict[int, set[int]] = {}
    for pid in _pids():
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
