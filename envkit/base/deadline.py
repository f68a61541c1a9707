"""One attempt ends in time: its connection, TLS, headers and body share one deadline, which every read obeys.

A socket's own timeout bounds each read alone: a server that sends one byte each second keeps a client for ever. The
sockets made here ask the deadline before every read and write. While they wait they also hear a signal.
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
"""Seconds after which a wait that can be cancelled looks whether it was."""


class Deadline:
    """The end of one attempt, `seconds` from now; None is no end. `idle` bounds each single wait as well.

    With `cancel` a wait raises `Cancelled` or `Aborted` as soon as that was asked for.
    """

    def __init__(self, seconds: float | None, cancel: Cancel | None = None, *, idle: float | None = None) -> None:
        self.seconds, self.cancel, self.idle = seconds, cancel, idle
        self._ends = _after(seconds)

    @classmethod
    def of(cls, end: Deadline | float) -> Deadline:
        """The deadline itself, or one that begins now."""
        return end if isinstance(end, Deadline) else cls(end)

    def shorter(self, seconds: float | None) -> Deadline:
        """A deadline that begins now and ends after `seconds`, or with this one if that is sooner."""
        bounds = [one for one in (self.left(), self.idle, seconds) if one is not None]
        return Deadline(min(bounds) if bounds else None, self.cancel)

    def renew(self, seconds: float | None = None) -> None:
        """Begin anew, for another attempt on the same connection."""
        self.seconds = self.seconds if seconds is None else seconds
        self._ends = _after(self.seconds)

    def left(self) -> float | None:
        """Seconds that are left, None for no end. Raises `TimeoutError`, and what `cancel.check` raises."""
        self.listen()
        if self._ends is None:
            return None
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"timed out: no whole answer within {self.seconds:g} s")
        return left

    def listen(self) -> None:
        """Raise when stopping was asked for."""
        if self.cancel is not None:
            self.cancel.check()

    def wait(self, plug: socket.socket, call: Callable[..., T], *arguments: Any) -> T:
        """Do one read or write of the socket within what is left."""
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
    """A socket whose reads and writes all end with its deadline; a timeout that a library sets changes nothing."""

    deadline: Deadline

    def gettimeout(self) -> float | None:
        """What is left: what wraps this socket (TLS) takes it over for its handshake."""
        return self.deadline.shorter(None).seconds

    def recv(self, *arguments: Any) -> bytes:
        """As the socket's own, in time."""
        return self.deadline.wait(self, super().recv, *arguments)

    def recv_into(self, *arguments: Any) -> int:
        """As the socket's own, in time."""
        return self.deadline.wait(self, super().recv_into, *arguments)

    def send(self, *arguments: Any) -> int:
        """As the socket's own, in time."""
        return self.deadline.wait(self, super().send, *arguments)

    def sendall(self, data: Any, *flags: Any) -> None:
        """By `send`, which keeps to the deadline: a peer that reads nothing holds nobody up."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest, *flags) :]


def dial(host: str, port: int, deadline: Deadline) -> Plug:
    """A TCP connection. Raises `OSError` when no address of the host takes it in time."""
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
    """A connection to a unix socket. Raises `OSError`."""
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
    """What the host's name resolves to. A resolver that hangs is left behind in its thread."""
    try:  # bytes: for a text Python loads the tables of international names, 3 ms
        return socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass
    return in_time(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), deadline, f"resolving {host}")


def in_time(call: Callable[[], T], deadline: Deadline, what: str) -> T:
    """Run what cannot be stopped in a thread, which is left behind at the deadline.

    Raises `TimeoutError`, and what `call` raises. For libraries that own their sockets; where a socket can be had,
    `dial` is better: it leaves nothing behind.
    """
    import queue
    import threading

    answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((True, call()))
        except BaseException as error:  # noqa: BLE001  handed over, and raised in the thread that asked
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
