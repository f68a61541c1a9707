"""Apply one deadline to a whole attempt: to its connection, TLS handshake, headers and body.

A socket's own timeout limits each read separately: a server that sends one byte per second can keep a client busy
forever. The sockets of this module check the deadline before each read and write, and stop a wait when cancelled.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from envkit.base.waiting import Cancel

T = TypeVar("T")

HEARING = 0.2
"""Interval, in seconds, at which a wait checks whether it was cancelled."""


class Deadline:
    """The end of one attempt, `seconds` from now, or no end for None. `idle` limits each single wait, in seconds.

    If `cancel` is given, a wait raises `Cancelled` or `Aborted` within `HEARING` seconds of the request to stop.
    """

    def __init__(self, seconds: float | None, cancel: Cancel | None = None, *, idle: float | None = None) -> None:
        self.seconds, self.cancel, self.idle = seconds, cancel, idle
        self._ends = _after(seconds)

    @classmethod
    def of(cls, end: Deadline | float) -> Deadline:
        """Return the given deadline itself, or for a number of seconds a new deadline that begins now."""
        return end if isinstance(end, Deadline) else cls(end)

    def shorter(self, seconds: float | None) -> Deadline:
        """Return a deadline that begins now and ends after `seconds`, or earlier.

        It ends earlier if this deadline ends earlier or has a shorter `idle`.
        """
        bounds = [one for one in (self.left(), self.idle, seconds) if one is not None]
        return Deadline(min(bounds) if bounds else None, self.cancel)

    def renew(self, seconds: float | None = None) -> None:
        """Restart the deadline from now, for another attempt on the same connection."""
        self.seconds = self.seconds if seconds is None else seconds
        self._ends = _after(self.seconds)

    def left(self) -> float | None:
        """Return the remaining seconds, or None for no end. Raises `TimeoutError` and the errors of `cancel.check`."""
        self.listen()
        if self._ends is None:
            return None
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"timed out: no whole answer within {self.seconds:g} s")
        return left

    def listen(self) -> None:
        """Raise `Cancelled` or `Aborted` if the wait must stop."""
        if self.cancel is not None:
            self.cancel.check()

    def wait(self, plug: socket.socket, call: Callable[..., T], *arguments: Any) -> T:
        """Return the result of `call(*arguments)`, one read or write of the socket, within the remaining time.

        Raises `TimeoutError` at the deadline or after `idle` seconds without data, and the errors of `cancel.check`.
        """
        silent = _after(self.idle)
        while True:
            left = self.left()
            slices = [left, HEARING if self.cancel is not None else None, _left(silent)]
            bounds = [one for one in slices if one is not None]
            plug.settimeout(max(0.001, min(bounds)) if bounds else None)
            try:
                return call(*arguments)
            except TimeoutError:
                if silent is not None and time.monotonic() >= silent:
                    raise TimeoutError(f"timed out: nothing came for {self.idle:g} s") from None
                if not bounds:
                    raise


def _after(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


def _left(ends: float | None) -> float | None:
    return None if ends is None else ends - time.monotonic()


class Plug(socket.socket):
    """A socket that ends all reads and writes by its deadline, even if a library sets another timeout on it."""

    deadline: Deadline

    def gettimeout(self) -> float | None:
        """Return the seconds for the next wait, or None for no limit; TLS uses them as the timeout of its handshake."""
        return self.deadline.shorter(None).seconds

    def recv(self, *arguments: Any) -> bytes:
        """Call `socket.recv` within the deadline."""
        return self.deadline.wait(self, super().recv, *arguments)

    def recv_into(self, *arguments: Any) -> int:
        """Call `socket.recv_into` within the deadline."""
        return self.deadline.wait(self, super().recv_into, *arguments)

    def send(self, *arguments: Any) -> int:
        """Call `socket.send` within the deadline."""
        return self.deadline.wait(self, super().send, *arguments)

    def sendall(self, data: Any, *flags: Any) -> None:
        """Send all data by repeated `send`, so that a peer that reads nothing cannot block past the deadline."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest, *flags) :]


def dial(host: str, port: int, deadline: Deadline) -> Plug:
    """Return a TCP connection to the host. Raises `OSError` if no address accepts the connection in time."""
    trouble: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in _addresses(host, port, deadline):
        try:
            plug = _connected(Plug(family, kind, protocol), address, deadline)
            plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return plug
        except OSError as error:
            trouble = error
    raise trouble


def dial_unix(path: str, deadline: Deadline) -> Plug:
    """Return a connection to the Unix socket at `path`. Raises `OSError`."""
    return _connected(Plug(socket.AF_UNIX, socket.SOCK_STREAM), path, deadline)


def _connected(plug: Plug, address: Any, deadline: Deadline) -> Plug:
    plug.deadline = deadline
    try:
        plug.settimeout(deadline.shorter(None).seconds)
        plug.connect(address)
    except TimeoutError as error:
        plug.close()
        raise TimeoutError("timed out: no connection") from error
    except BaseException:
        plug.close()
        raise
    return plug


def _addresses(host: str, port: int, deadline: Deadline) -> list[Any]:
    """Return the addresses of the host. A resolver that hangs continues to run in its own thread."""
    try:  # bytes, because for a str Python loads the codec for international names, which takes 3 ms
        return socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass
    return in_time(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), deadline, f"resolving {host}")


def in_time(call: Callable[[], T], deadline: Deadline, what: str) -> T:
    """Run `call` in a separate thread and return its result; the thread is not stopped at the deadline.

    Raises `TimeoutError` that names `what`, and the errors of `call`. Use this function for libraries that open their
    own sockets. Use `dial` for libraries that accept a socket: only its resolver's thread can outlive the deadline.
    """
    import queue
    import threading

    answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((True, call()))
        except BaseException as error:  # noqa: BLE001  the calling thread raises it
            answers.put((False, error))

    threading.Thread(target=work, daemon=True, name="in-time").start()
    while True:
        try:
            left = deadline.left()
            well, answer = answers.get(timeout=HEARING if left is None else min(HEARING, left))
        except queue.Empty:
            continue
        except TimeoutError as error:
            raise TimeoutError(f"{what}: {error}") from error
        if well:
            return answer  # type: ignore[no-any-return]  # what `call` returned
        raise answer
