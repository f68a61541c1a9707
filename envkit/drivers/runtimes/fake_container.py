"""A container of the fake engine: a script defines what it does, and its published ports are real sockets."""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from envkit.base.ports import LOOPBACK
from envkit.drivers.runtimes.base import Unit
from envkit.planning.facts import Instance


@dataclass(frozen=True)
class Script:
    """How a fake service behaves. `ready` and `dies` are in seconds after its start; `math.inf` means never.

    The start itself takes `takes` seconds. If `refuses` is not empty, the start fails with that text. `answers` maps a
    command in the container to its exit code and output.
    """

    log: str = ""
    takes: float = 0.0
    ready: float = 0.0
    dies: float = math.inf
    exit_code: int = 0
    oom: bool = False
    refuses: str = ""
    answers: Mapping[tuple[str, ...], tuple[int, str]] = field(default_factory=dict)


@dataclass
class Container:
    """A container of the fake engine: its unit, its current state, and its listening sockets."""

    unit: Unit | None
    instance: Instance
    script: Script
    began: float
    sockets: dict[int, socket.socket] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()

    @property
    def environment(self) -> str:
        """The name of the container's environment; empty for a container that is not envkit's."""
        return self.unit.environment if self.unit else ""

    @property
    def words(self) -> tuple[str, ...]:
        """The entrypoint and the command of the container's service."""
        service = self.unit.service if self.unit else None
        return (*(service.entrypoint or ()), *(service.command or ())) if service else ()

    def now(self, moment: float) -> Instance:
        """Return the instance as it is at `moment`: exited or listening, as the script defines."""
        age, script = moment - self.began, self.script
        if self.instance.state == "running" and age >= script.dies:
            self.close()
            self.sockets = {}
            code = 137 if script.oom else script.exit_code
            self.instance = replace(self.instance, state="exited", exit_code=code, oom_killed=script.oom, published={})
        elif age >= script.ready:
            for listener in self.sockets.values():
                listener.listen()
        return self.instance

    def rewrite(self, path: str, content: bytes) -> bool:
        """Replace the content of a file; return whether it changed. Returns False if the file does not exist."""
        files = self.unit.service.files if self.unit else ()
        old = next((file for file in files if file.path == path), None)
        if self.unit is None or old is None or old.content == content.decode():
            return False
        new = old.model_copy(update={"content": content.decode(), "source": None})
        service = self.unit.service.model_copy(update={"files": tuple(new if file is old else file for file in files)})
        self.unit = replace(self.unit, service=service)
        return True

    def close(self) -> None:
        """Close the container's sockets."""
        for listener in self.sockets.values():
            listener.close()


def bound(port: int) -> socket.socket:
    """Return a socket that holds the port on 127.0.0.1 but does not accept connections yet."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((LOOPBACK, port))
    return made


def listening(port: int) -> socket.socket:
    """Return a socket that accepts connections on the port of 127.0.0.1."""
    made = bound(port)
    made.listen()
    return made
