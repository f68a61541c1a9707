"""Host ports: check whether a port is free, and find the process or container that uses it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from envkit.base import labels
from envkit.base.errors import PortTaken

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Holder:
    """The process or container that uses a port. `pid` is 0 if this user cannot see the process."""

    port: int
    pid: int = 0
    command: str = ""
    container: str = ""
    environment: str = ""
    """The envkit environment of the process or container; empty if there is none or it is unknown."""

    def __str__(self) -> str:
        who = f"container {self.container}" if self.container else f"process {self.pid} ({self.command})"
        if self.environment:
            return f"environment {self.environment}: {who}"
        if self.container or self.pid:
            return who
        return "a process of another user (`sudo ss -ltnp` names it)"


def bindable(port: int) -> bool:
    """Return whether a socket can bind 127.0.0.1:port now. The function binds it, because no other check is certain.

    Raises `OSError` for an error other than a used or privileged port.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def accepts(port: int, host: str = LOOPBACK, seconds: float = 1.0) -> bool:
    """Return whether the host accepts a connection on the port within `seconds`."""
    try:
        with socket.socket() as asking:  # `create_connection` takes 3 ms more to load the codec for international names
            asking.settimeout(seconds)
            asking.connect((host, port))
            return True
    except OSError:
        return False


def process_on(port: int) -> Holder:
    """Return the process that listens on the port; its pid is 0 if this user cannot see the process."""
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS lists the connections of all processes for root only
        return Holder(port)
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            try:
                command = " ".join(psutil.Process(connection.pid).cmdline())[:120]
            except psutil.Error:
                command = "?"
            return Holder(port, connection.pid, command, environment=_environment_of(connection.pid))
    return Holder(port)


def _environment_of(pid: int) -> str:
    """Return the environment's name from the marker of the process or of one of its parents, else an empty string.

    The function checks the parents because Redis and PostgreSQL overwrite their own variables.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        for one in (process, *process.parents()):
            with suppress(psutil.AccessDenied):
                if found := one.environ().get(labels.MARKER):
                    return str(found)
    except psutil.Error:
        pass
    return ""


def holders(ports: Iterable[int], containers: Mapping[int, Holder]) -> list[Holder]:
    """Return the holders of those `ports` that are not free; `containers` maps published ports to their holders."""
    found = []
    for port in ports:
        if port in containers:
            found.append(replace(containers[port], port=port))
        elif not bindable(port):
            found.append(process_on(port))
    return found


def port_taken(wanted: Mapping[int, str], taken: Sequence[Holder]) -> PortTaken:
    """Return one error that names every taken port with its holder. `wanted` maps each port to the service or use."""
    lines = [f"port {holder.port} (wanted by {wanted[holder.port]}) is held by {holder}" for holder in taken]
    return PortTaken(
        "\n".join(lines),
        hint="stop what holds the port, or move all ports of this environment: --port-offset auto finds free ones",
    )
