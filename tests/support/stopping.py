"""A socket in front of a real engine. Tests cut it to simulate a killed engine; the shared daemon keeps running."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path


class Front:
    """Forwards connections to the socket `behind`; `cut` closes all of them and removes the path."""

    def __init__(self, behind: Path, path: Path) -> None:
        self.behind, self.path = behind, path
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.begin()

    @property
    def url(self) -> str:
        """The address for DOCKER_HOST."""
        return f"unix://{self.path}"

    def begin(self) -> None:
        """Start to listen; also works after `cut`."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Close all connections at once, in the middle of answers, and stop listening."""
        self.path.unlink(missing_ok=True)
        _close(self._listener)
        with self._lock:
            for one in self._open:
                _close(one)
            self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with self._lock:
                self._open += [client, server]
            server.connect(str(self.behind))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _close(plug: socket.socket) -> None:
    with suppress(OSError):
        plug.shutdown(socket.SHUT_RDWR)
    plug.close()
