"""Servers that delay a client, each in a different way. Each serves one connection after the other in a thread."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Act = Callable[[socket.socket, threading.Event], None]

EACH = 0.03
"""Seconds between two bytes of a slow answer: much less than any client's timeout of one read."""


def _heard(plug: socket.socket) -> bytes:
    """Return the first bytes from the client, or nothing after a short wait, because some clients send nothing."""
    plug.settimeout(0.2)
    with suppress(OSError):
        return plug.recv(65536)
    return b""


def trickle(before: bytes, slowly: bytes) -> Act:
    """Return a server that sends `before` at once, then `slowly` byte by byte, repeatedly."""

    def act(plug: socket.socket, over: threading.Event) -> None:
        _heard(plug)
        plug.sendall(before)
        while True:
            for byte in slowly:
                if over.wait(EACH):
                    return
                plug.sendall(bytes([byte]))

    return act


def flood(before: bytes, much: bytes) -> Act:
    """Return a server that sends `before`, then `much` without end."""

    def act(plug: socket.socket, over: threading.Event) -> None:
        _heard(plug)
        plug.settimeout(5)
        plug.sendall(before)
        while not over.is_set():
            plug.sendall(much)

    return act


def silent(plug: socket.socket, over: threading.Event) -> None:
    """Accept the connection, read, and send nothing."""
    _heard(plug)
    over.wait(60)


def deaf(plug: socket.socket, over: threading.Event) -> None:
    """Accept the connection, and neither read nor send."""
    over.wait(60)
    del plug


def half_closed(plug: socket.socket, over: threading.Event) -> None:
    """Close the sending side at once and keep the connection open."""
    plug.shutdown(socket.SHUT_WR)
    over.wait(60)


def resetting(plug: socket.socket, over: threading.Event) -> None:
    """Close the connection with a TCP reset."""
    del over
    _heard(plug)
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def garbage(plug: socket.socket, over: threading.Event) -> None:
    """Send bytes that no protocol allows, and keep the connection open."""
    _heard(plug)
    plug.sendall(bytes(range(256)) * 8)
    over.wait(60)


def in_circles(plug: socket.socket, over: threading.Event) -> None:
    """Redirect each request to its own URL."""
    while not over.is_set() and _heard(plug):
        plug.sendall(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")


OK = b"HTTP/1.1 200 OK\r\n"
ACTS: dict[str, Act] = {
    "says nothing": silent,
    "reads nothing": deaf,
    "trickles the status line": trickle(b"HTTP/1.1 2", b"0"),
    "trickles headers": trickle(OK + b"X-", b"a"),
    "trickles the body": trickle(OK + b"Content-Length: 1000000\r\n\r\n{", b" "),
    "trickles chunks": trickle(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "continues for ever": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless headers": flood(OK, b"X-A: b\r\n"),
    "endless body": flood(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b" " * 4096 + b"\r\n"),
    "half closed": half_closed,
    "resets": resetting,
    "garbage": garbage,
    "leads in circles": in_circles,
    "trickles Redis": trickle(b"$1000000\r\n", b"a"),
    "floods Redis": flood(b"", b"+" + b"a" * 4096),
    "trickles PostgreSQL": trickle(b"NR", b"\0\0\0\x08\0\0\0\0S\0\0\0\x08a\0b\0"),
    "floods PostgreSQL": flood(b"N" + b"R\0\0\0\x08\0\0\0\0", b"S\0\0\0\x08a\0b\0" * 200),
    "stalls in TLS": trickle(b"S\x16\x03\x03\x40\x00", b"\0"),
}


@contextmanager
def _served(listener: socket.socket, act: Act) -> Iterator[None]:
    over = threading.Event()
    workers: list[threading.Thread] = []

    def one(plug: socket.socket) -> None:
        with plug, suppress(OSError):
            act(plug, over)

    def work() -> None:
        while True:
            try:
                plug, _ = listener.accept()
            except OSError:
                return
            workers.append(threading.Thread(target=one, args=(plug,), daemon=True))
            workers[-1].start()

    listener.listen(64)
    main = threading.Thread(target=work, daemon=True)
    main.start()
    try:
        yield
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for worker in (main, *workers):
            worker.join(10)


@contextmanager
def on_port(act: Act, port: int = 0) -> Iterator[int]:
    """Run such a server on 127.0.0.1 and yield its port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    with _served(listener, act):
        yield listener.getsockname()[1]


@contextmanager
def on_socket(act: Act, path: Path) -> Iterator[str]:
    """Run such a server on a unix socket and yield its path."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    with _served(listener, act):
        yield str(path)


def seconds_of(call: Callable[[], object]) -> tuple[float, object]:
    """Return the duration of the call in seconds, and the value that it returned or the error that it raised."""
    began = time.monotonic()
    try:
        given: object = call()
    except Exception as error:  # noqa: BLE001  the caller checks the error
        given = error
    return time.monotonic() - began, given
