"""An HTTP protocol with time limits: for incomplete headers, for clients that do not read, and for unread bodies.

uvicorn waits forever for the rest of a request's headers. After an early answer it closes the connection while the
client still sends; the TCP reset can then destroy the answer before the client reads the answer. This protocol waits
``seconds`` for headers. After an early answer it reads and drops data for the same time. If the port has its maximum
number of connections, it aborts the connection that has been idle longest.
"""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

WRITE_SECONDS = 30.0  # longest time in which a client does not read the answer
_TIMED_OUT = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 33\r\n"
    b"connection: close\r\n\r\nThe headers did not come in time."
)


class Protocol(HttpToolsProtocol):
    """One connection of a port.

    ``seconds`` is the time for headers, and ``most`` is the maximum number of connections. ``idle`` has the connections
    without a request in progress; the one that has been idle longest is first.
    """

    seconds: ClassVar[float]
    most: ClassVar[int]
    idle: ClassVar[dict["Protocol", None]]

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._headers_end: asyncio.TimerHandle | None = None
        self._reading_ends: asyncio.TimerHandle | None = None
        self._in_headers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's signature
        """Start the time limit for headers. If the port is full, abort the connection that has been idle longest."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) >= self.most and (oldest := next(iter(self.idle))) is not self:
            del self.idle[oldest]
            self.connections.discard(oldest)  # now, because uvicorn counts connections before it runs connection_lost
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers of the connection."""
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process ``data``. The time limit for headers ends with the headers and restarts with the next request."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._headers_end is None and not self.transport.is_closing():
            self._wait()

    def on_message_begin(self) -> None:
        """Record that the connection is inside the headers of a request."""
        super().on_message_begin()
        self._in_headers = True

    def on_headers_complete(self) -> None:
        """Record that the headers are complete."""
        super().on_headers_complete()
        self._in_headers = False

    def on_response_complete(self) -> None:
        """Mark the connection as idle; if it is closing, limit the time that the client has to read the answer."""
        super().on_response_complete()
        if self.transport.is_closing():
            self.pause_writing()
        elif self.cycle.response_complete:
            self.idle[self] = None

    def pause_writing(self) -> None:
        """Start a timer that aborts the connection if the client does not read within ``WRITE_SECONDS``."""
        super().pause_writing()
        if self._reading_ends is None:
            self._reading_ends = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timer that ``pause_writing`` started: the client reads again."""
        if self._reading_ends is not None:
            self._reading_ends.cancel()
            self._reading_ends = None
        super().resume_writing()

    def _wait(self) -> None:
        self.idle[self] = None
        self._headers_end = self.loop.call_later(self.seconds, self._too_late)

    def _stop_waiting(self) -> None:
        self.idle.pop(self, None)
        if self._headers_end is not None:
            self._headers_end.cancel()
            self._headers_end = None

    def _too_late(self) -> None:
        self._stop_waiting()
        if self._in_headers:
            self.transport.write(_TIMED_OUT)
        self.transport.close()
        self.pause_writing()


def protocol(seconds: float, most: int) -> type[Protocol]:
    """Return the protocol class of one port, with ``seconds`` for headers and at most ``most`` connections."""
    return type("PortProtocol", (Protocol,), {"seconds": seconds, "most": most, "idle": {}})
