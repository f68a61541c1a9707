"""Who listens on a port: a probe that passes only proves that somebody answers.

A stranger may bind a service's port between envkit's look at it and the service's start. So the listener must belong to
the service: by its user, where the service has one of its own, else by the descriptors of its processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from envkit.planning.facts import Instance

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTENS = "0A"
_RANKS = {
    **dict.fromkeys(("0100007F", "7F000001"), 0),
    **dict.fromkeys(("0000000000000000FFFF00000100007F", "00000000000000000000FFFF7F000001"), 0),
    "00000000": 1,
    "0" * 32: 2,
}
"""Addresses that a connection to 127.0.0.1 may reach, as the kernel writes them on machines of both byte orders. It
reaches the lowest rank: where somebody listens on 127.0.0.1, a listener on all addresses of IPv6 gets nothing of it."""


@dataclass(frozen=True)
class Listener:
    """A socket that listens on a port, with the user who made it."""

    inode: str
    uid: int


def strangers(
    instances: Sequence[Instance], users: Mapping[str, int], members: Callable[[Instance, bool], Collection[int]]
) -> dict[str, int]:
    """The first port of each service that a process of somebody else listens on, by the service's name.

    `users` names the uid of services that have one of their own; `members` returns the processes of a service, those
    of its session or (with true) also those that have left it, which takes longer. A port that nobody listens on yet
    is no stranger's.
    """
    ports = {port for instance in instances for port in instance.published.values()}
    if not ports:
        return {}
    if sys.platform != "linux":
        return dict(_elsewhere(instances, members))
    listening = _listening(ports)
    found = {}
    for instance in instances:
        for port in instance.published.values():
            others = [one for one in listening.get(port, ()) if one.uid != users.get(instance.service)]
            if others and not _owned(others, partial(members, instance)):
                found[instance.service] = port
                break
    return found


def _listening(ports: Collection[int]) -> dict[int, list[Listener]]:
    """Listening sockets by port. The kernel writes them before all others, so that no more of a table is read."""
    found: dict[int, dict[int, list[Listener]]] = {}
    for table in _TABLES:
        with suppress(OSError), Path(table).open() as lines:
            next(lines, None)
            for line in lines:
                words = line.split()
                if words[3] != _LISTENS:
                    break
                address, _, number = words[1].partition(":")
                port = int(number, 16)
                if port in ports and address in _RANKS:
                    ranks = found.setdefault(port, {})
                    ranks.setdefault(_RANKS[address], []).append(Listener(words[9], int(words[7])))
    return {port: ranks[min(ranks)] for port, ranks in found.items()}


def _owned(listeners: Sequence[Listener], members: Callable[[bool], Collection[int]]) -> bool:
    """Whether the processes hold every one of the sockets."""
    wanted = {f"socket:[{one.inode}]" for one in listeners}
    for thorough in (False, True):
        for pid in members(thorough):
            wanted -= set(_descriptors(pid))
            if not wanted:
                return True
    return False


def _descriptors(pid: int) -> Iterator[str]:
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
        for descriptor in descriptors:
            with suppress(OSError):
                yield os.readlink(descriptor.path)  # noqa: PTH115  three times as quick


def _elsewhere(
    instances: Sequence[Instance], members: Callable[[Instance, bool], Collection[int]]
) -> Iterator[tuple[str, int]]:
    """As above where there is no /proc: the port accepts connections, and no process of the service listens on it."""
    import psutil

    from envkit.base.ports import accepts

    for instance in instances:
        own = set()
        for pid in members(instance, True):
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                rows = getattr(process, "net_connections", process.connections)("tcp")  # its name before psutil 6
                own |= {row.laddr.port for row in rows if row.status == psutil.CONN_LISTEN}
        for port in instance.published.values():
            if port not in own and accepts(port):
                yield instance.service, port
                break
