"""A socket in front of an engine's socket: for users without access to the engine, and to simulate its death."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path


class Relay:
    """Forwards every connection to the socket `behind`, until `die`."""

    def __init__(self, behind: Path, path: Path) -> None:
        self.path, self._behind = path, behind
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(64)
        self._threads = [threading.Thread(target=self._accept, daemon=True, name="relay")]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """The address for `DOCKER_HOST`."""
        return f"unix://{self.path}"

    def die(self) -> None:
        """Close all connections and refuse new ones, like a killed daemon. It may be called twice."""
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for one in (self._listener, *self._open):
            one.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            server.connect(str(self._behind))
            self._open += [client, server]
            for source, target in ((client, server), (server, client)):
                self._threads.append(threading.Thread(target=_pump, args=(source, target), daemon=True))
                self._threads[-1].start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
