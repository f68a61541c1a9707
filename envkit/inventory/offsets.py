"""`--port-offset auto`: choose an offset at which all ports of an environment are free, and store it.

The stored offset belongs to one checkout and one environment name. This module imports nothing slow, because every
command on such an environment calls `known`.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from envkit.base.errors import EnvironmentFailed
from envkit.base.paths import Paths, write_private
from envkit.base.ports import bindable
from envkit.base.waiting import Cancel, until
from envkit.inventory import state

STEP = 20
"""Smallest distance between two offsets, so that consecutive ports (8080, 8081 ...) stay together."""

WIDEST = 2000
"""Largest distance that `step` tries; for an environment of 60 ports, `step` finds one below 200."""

OUTGOING = range(32768, 61000)
"""Ports that Linux gives to outgoing connections. Such a connection could take a service's port during a restart."""

LARGEST, HIGHEST_PORT = 50000, 65535

LOCK_SECONDS = 20.0

KEPT = 64
"""Largest number of stored offsets for environments that are not up; the least recently used ones are dropped."""


@dataclass(frozen=True)
class Reserved:
    """The offset of one checkout's environment, and its ports at that offset.

    `used` is the time of the offset's last use, in seconds since 1970.
    """

    name: str
    root: str
    offset: int
    ports: tuple[int, ...]
    used: float = 0.0


def known(paths: Paths, root: str) -> int | None:
    """Return the stored offset of this environment of this checkout, or None."""
    return next((it.offset for it in _read(paths.home) if (it.name, it.root) == (paths.name, root)), None)


def proposed(paths: Paths, root: str, ports: Collection[int]) -> int:
    """Return the offset that `reserve` would return now. `ports` are the configured ports, without any offset."""
    chosen = known(paths, root) if ports else 0
    return _search(paths, root, sorted(ports), _read(paths.home), frozenset()) if chosen is None else chosen


def reserve(paths: Paths, root: str, ports: Collection[int], cancel: Cancel, lost: Collection[int] = ()) -> int:
    """Return the stored offset or a new one, and store it. No other environment then gets a port at this offset.

    `lost` are offsets at which a port was already taken. Raises `EnvironmentFailed` when no offset is free.
    """
    own = sorted(ports)
    if not own:
        return 0
    with _alone(paths.home, cancel):
        entries = _read(paths.home)
        mine = next((it for it in entries if (it.name, it.root) == (paths.name, root)), None)
        others = [it for it in _fresh(paths.home, entries) if it is not mine]
        if mine is None or mine.offset in lost or _overlap(_moved(own, mine.offset), others):
            mine = Reserved(paths.name, root, _search(paths, root, own, others, lost), ())
        mine = replace(mine, ports=_moved(own, mine.offset), used=time.time())
        write_private(_file(paths.home), json.dumps([asdict(it) for it in (*others, mine)], indent=1))
        return mine.offset


def step(ports: Collection[int]) -> int:
    """Return the distance between two offsets: the smallest number, from `STEP`, that divides no distance of two ports.

    Two environments of one configuration, each at a multiple of this distance, therefore never share a port. This holds
    even if one port (`metrics`) is 1000 above another port: no two offsets then differ by 1000.
    """
    spread = {abs(one - other) for one in ports for other in ports if one != other}
    return next((it for it in range(STEP, WIDEST) if not any(apart % it == 0 for apart in spread)), WIDEST)


def slots(ports: Collection[int]) -> list[list[int]]:
    """Return every usable offset, in three groups, the best group first.

    First group: all ports are below `OUTGOING`. Second group: no port is in `OUTGOING`, but some are above it. Third
    group: some ports are in `OUTGOING`.
    """
    most = min(LARGEST, HIGHEST_PORT - max(ports))
    groups: list[list[int]] = [[], [], []]
    for offset in range(step(ports), most + 1, step(ports)):
        among = any(port + offset in OUTGOING for port in ports)
        groups[2 if among else 0 if max(ports) + offset < OUTGOING.start else 1].append(offset)
    return groups


def _search(paths: Paths, root: str, ports: list[int], others: Collection[Reserved], lost: Collection[int]) -> int:
    """Return the first free offset. The search begins at a different place in each checkout.

    After an offset was lost, the order is random.
    """
    first = start(paths.name, root)
    order = [it for group in slots(ports) for it in _begun(group, first, shuffled=bool(lost))]
    recorded = _recorded(paths)
    up = [it for it in others if _is_up(paths.home, it)]
    for reserved in (others, up):  # if no offset is free, take one of an environment that is not up
        for offset in order:
            moved = _moved(ports, offset)
            taken = offset in lost or not recorded.isdisjoint(moved) or _overlap(moved, reserved)
            if not taken and all(bindable(port) for port in moved):
                return offset
    raise EnvironmentFailed(
        f"no port offset is free for environment {paths.name}: {len(order)} were tried",
        hint="`list` shows what is up on this machine; --port-offset N takes one that you choose",
    )


def _begun(offsets: list[int], first: int, *, shuffled: bool) -> list[int]:
    if shuffled:
        return random.sample(offsets, len(offsets))
    begin = first % len(offsets) if offsets else 0
    return offsets[begin:] + offsets[:begin]


def start(name: str, root: str) -> int:
    """Return the number at which the search begins. Different users, checkouts and names seldom get the same number."""
    return int.from_bytes(hashlib.sha256(f"{os.getuid()}:{root}:{name}".encode()).digest()[:4], "big")


def _moved(ports: Iterable[int], offset: int) -> tuple[int, ...]:
    return tuple(port + offset for port in ports)


def _overlap(ports: Iterable[int], others: Iterable[Reserved]) -> bool:
    taken = {port for other in others for port in other.ports}
    return any(port in taken for port in ports)


def _recorded(paths: Paths) -> set[int]:
    """Return the ports in the records of all other environments, with chosen and with configured offsets."""
    found: set[int] = set()
    for name in state.names(paths.home):
        record = state.read(Paths(paths.home, name)) if name != paths.name else None
        found |= set(record.ports.values()) if record else set()
    return found


def _fresh(home: Path, entries: Iterable[Reserved]) -> list[Reserved]:
    """Return the stored offsets to keep: all of environments that are up, and the `KEPT` last used of the others.

    Offsets of deleted checkouts are dropped, unless their environment is up.
    """
    up = [it for it in entries if _is_up(home, it)]
    down = [it for it in entries if it not in up and (not it.root or Path(it.root).is_dir())]
    return [*up, *sorted(down, key=lambda it: it.used)[-KEPT:]]


def _is_up(home: Path, entry: Reserved) -> bool:
    return Paths(home, entry.name).folder.exists()


def _file(home: Path) -> Path:
    return home / ".offsets.json"


def _read(home: Path) -> list[Reserved]:
    """Return the stored offsets, or an empty list if the file is missing or broken."""
    try:
        rows = json.loads(_file(home).read_text())
        return [Reserved(**{**row, "ports": tuple(map(int, row["ports"]))}) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return []


@contextmanager
def _alone(home: Path, cancel: Cancel) -> Iterator[None]:
    """Hold the lock for choosing an offset, for some milliseconds. The kernel frees it if the process ends earlier."""
    from filelock import FileLock, Timeout

    path = home / ".locks/.offsets"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(str(path))

    def attempt() -> str | None:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return f"another envkit holds {path}"
        return None

    until(attempt, what="the lock under which port offsets are chosen", seconds=LOCK_SECONDS, cancel=cancel)
    try:
        yield
    finally:
        lock.release()
