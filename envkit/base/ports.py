"""Host ports: is one free, and if not, who holds it."""

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
    """Who holds a port: a process (pid 0 when it belongs to somebody else and cannot be seen) or a container."""

    port: int
    pid: int = 0
    command: str = ""
    container: str = ""
    environment: str = ""
    """The environment of envkit's that it belongs to, where that is known."""

    def __str__(self) -> str:
        who = f"container {self.container}" if self.container else f"process {self.pid} ({self.command})"
        if self.environment:
            return f"environment {self.environment}: {who}"
        if self.container or self.pid:
            return who
        return "a process of another user (`sudo ss -ltnp` names it)"


def bindable(port: int) -> bool:
    """Whether 127.0.0.1:port can be bound now, which is the only test that cannot be wrong at this moment."""
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
    """Whether anything accepts connections there."""
    try:
        with socket.socket() as asking:  # `create_connection` loads the tables of international names: 3 ms
            asking.settimeout(seconds)
            asking.connect((host, port))
            return True
    except OSError:
        return False


def process_on(port: int) -> Holder:
    """The process that listens on the port, as far as this user may see."""
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS tells only root about every process
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
    """The marker of the process, or of the shell that leads it: Redis and PostgreSQL overwrite their own variables."""
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
    """Who holds those of `ports` that are not free; `containers` are the published ports, each with its container."""
    found = []
    for port in ports:
        if port in containers:
            found.append(replace(containers[port], port=port))
        elif not bindable(port):
            found.append(process_on(port))
    return found


def port_taken(wanted: Mapping[int, str], taken: Sequence[Holder]) -> PortTaken:
    """One error for every port that is held, each with its holder."""
    lines = [f"port {holder.port} (wanted by {wanted[holder.port]}) is held by {holder}" for holder in taken]
    return PortTaken(
        "\n".join(lines),
        hint="stop what holds the port, or move all ports of this environment: --port-offset auto finds free ones",
    )
