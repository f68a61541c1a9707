"""Checks that a service itself listens on its port: a probe that passes only proves that some program answers.

Another program can bind the port after envkit has checked that it is free and before the service starts. A listening
socket belongs to the service if it has the service's own uid, or if one of the service's processes holds it.
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
"""Maps each address that accepts connections to 127.0.0.1 to its rank. The kernel writes addresses in the machine's
byte order, so the mapping contains both orders. The socket with the lowest rank gets the connection: first a socket on
127.0.0.1, then a socket on all IPv4 addresses, then a socket on all IPv6 addresses."""


@dataclass(frozen=True)
class Listener:
    """A listening socket: its inode, and the uid of the user who made it."""

    inode: str
    uid: int


def strangers(
    instances: Sequence[Instance], users: Mapping[str, int], members: Callable[[Instance, bool], Collection[int]]
) -> dict[str, int]:
    """Return the first port of each service on which another program listens, by the service's name.

    The result leaves out services without such a port. `users` maps a service to its own uid, if it has one. `members`
    returns the processes of a service: the processes of its session, or with `True` also processes that have left the
    session, which takes longer.
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
    """Return for each of the ports the listening sockets that get connections to 127.0.0.1.

    In the kernel's two files of TCP sockets (IPv4 and IPv6) listening sockets come first, so this stops at the first
    other socket of each file.
    """
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
    """Return whether the service's processes hold all of these sockets."""
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
                yield os.readlink(descriptor.path)  # noqa: PTH115  three times faster than Path


def _elsewhere(
    instances: Sequence[Instance], members: Callable[[Instance, bool], Collection[int]]
) -> Iterator[tuple[str, int]]:
    """Yield the service and port pairs of `strangers` on systems without /proc.

    Another program listens on a port if the port accepts connections and no process of the service listens on it.
    """
    import psutil

    from envkit.base.ports import accepts

    for instance in instances:
        own = set()
        for pid in members(instance, True):
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                rows = getattr(process, "net_connections", process.connections)("tcp")  # the old name before psutil 6
                own |= {row.laddr.port for row in rows if row.status == psutil.CONN_LISTEN}
        for port in instance.published.values():
            if port not in own and accepts(port):
                yield instance.service, port
                break
