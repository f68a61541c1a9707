"""Small servers in threads, for tests of socket clients."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

Handle = Callable[[socket.socket], None]


@contextmanager
def serving(listener: socket.socket, handle: Handle) -> Iterator[None]:
    """Pass each connection to `handle`, one after the other, until the block ends."""
    listener.listen()

    def work() -> None:
        while True:
            try:
                plug, _ = listener.accept()
            except OSError:
                return
            with plug, suppress(OSError):
                plug.settimeout(10)
                handle(plug)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        yield
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        worker.join(10)


@contextmanager
def tcp(handle: Handle) -> Iterator[int]:
    """Serve on a free port of 127.0.0.1 and yield the port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with serving(listener, handle):
        yield port


def answering(body: bytes, status: str = "200 OK", seen: list[str] | None = None) -> Handle:
    """Return a handler that sends the same HTTP answer to each request; `seen` collects the requests."""

    def handle(plug: socket.socket) -> None:
        request = _request(plug)
        if seen is not None:
            seen.append(request)
        plug.sendall(_answer(body, status))

    return handle


def _answer(body: bytes, status: str = "200 OK", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}Connection: close\r\n\r\n"
    return head.encode() + body


def _request(plug: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        data += plug.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += plug.recv(65536)
    return (head + b"\r\n\r\n" + body).decode()


DOCKER: dict[str, Any] = {"Version": "24.0.7", "Components": [{"Name": "Engine"}]}
VERSION = "4.9.4"
PODMAN: dict[str, Any] = {"Version": VERSION, "Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}]}


@contextmanager
def engine(path: Path, version: dict[str, Any], has: dict[str, list[Any]] | None = None) -> Iterator[str]:
    """Serve a fake engine on a unix socket and yield its URL.

    `/version` and `/_ping` answer as the given engine does; `has` holds the answers of other paths. The server records
    each request in `has` under "asked".
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))

    def handle(plug: socket.socket) -> None:
        asked = _request(plug).split()[1]
        if has is not None:
            has.setdefault("asked", []).append(asked)
        answer = version if asked.endswith("/version") else (has or {}).get(asked, [])
        podman = version is PODMAN and asked == "/_ping"
        plug.sendall(_answer(json.dumps(answer).encode(), more=f"Libpod-API-Version: {VERSION}\r\n" if podman else ""))

    with serving(listener, handle):
        yield f"unix://{path}"
