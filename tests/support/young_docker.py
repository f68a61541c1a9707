"""A socket in front of an older Docker that refuses old clients, as Docker 29 does."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.unit.sockets import serving

OLDEST = (1, 44)
"""The minimum API version that Docker 29 accepts."""

_VERSIONED = re.compile(rb"^([A-Z]+ )/v(\d+)\.(\d+)(/\S*)")


@contextmanager
def refusing(behind: Path, path: Path, speaks: str, refused: list[str]) -> Iterator[str]:
    """Forward requests of API version `OLDEST` and later to the socket `behind`, as version `speaks`.

    It refuses other requests and appends them to `refused`. Yields the address of the new socket.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))

    def handle(client: socket.socket) -> None:
        theirs = client.dup()  # forwarded in a thread, while this one accepts the next
        threading.Thread(target=_carry, args=(theirs, behind, speaks, refused), daemon=True).start()

    with serving(listener, handle):
        yield f"unix://{path}"


def _carry(client: socket.socket, behind: Path, speaks: str, refused: list[str]) -> None:
    with client, suppress(OSError):
        client.settimeout(None)
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := client.recv(65536)):
                return
            head += more
        asked = _VERSIONED.match(head)
        if asked and (int(asked[2]), int(asked[3])) < OLDEST:
            refused.append(head.partition(b"\r\n")[0].decode())
            words = b'{"message":"client version is too old. Minimum supported API version is 1.44"}'
            client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(words))
            client.sendall(words)
            return
        head = _VERSIONED.sub(rb"\1/v" + speaks.encode() + rb"\4", head)
        if b"\r\nUpgrade:" not in head:  # one request per connection, so that each is checked
            head = re.sub(rb"\r\nConnection: [^\r]*", b"", head).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.connect(str(behind))
            server.sendall(head)
            back = threading.Thread(target=_pump, args=(server, client, asked is None and b" /version" in head))
            back.start()
            _pump(client, server)
            back.join()


def _pump(source: socket.socket, target: socket.socket, versions: bool = False) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(_younger(data) if versions else data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _younger(answer: bytes) -> bytes:
    """Return the answer to `/version` with the newer minimum version. Its length stays as the header announces it."""
    return re.sub(rb'"MinAPIVersion":"1\.(\d\d)"', b'"MinAPIVersion":"1.44"', answer)
