"""HTTP connections that end: half-sent headers, clients that do not read, and bodies that nobody wants any more.

uvicorn waits without an end for the rest of a request's headers, and closes the connection of an early answer while the
client still sends, whose reset may overtake the answer. Here headers have ``seconds``; what comes after an early answer
is read and dropped for as long; and where all places are taken, the connection that has been idle longest makes room.
"""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

WRITE_SECONDS = 30.0  # for a client to read what was sent to it
_TIMED_OUT = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 33\r\n"
    b"connection: close\r\n\r\nThe headers did not come in time."
)


class Protocol(HttpToolsProtocol):
    """One connection. ``idle`` are those without a request under way, the longest first."""

    seconds: ClassVar[float]
    most: ClassVar[int]
    idle: ClassVar[dict["Protocol", None]]

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._headers_end: asyncio.TimerHandle | None = None
        self._reading_ends: asyncio.TimerHandle | None = None
        self._in_headers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begins to wait for headers, and makes room for that where there is none."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) >= self.most and (oldest := next(iter(self.idle))) is not self:
            del self.idle[oldest]
            self.connections.discard(oldest)  # now, for uvicorn counts them before the loop comes round
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets it."""
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on; the time for headers ends with them, and begins with the first byte of the next ones."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._headers_end is None and not self.transport.is_closing():
            self._wait()

    def on_message_begin(self) -> None:
        """Another request begins."""
        super().on_message_begin()
        self._in_headers = True

    def on_headers_complete(self) -> None:
        """Its headers are whole."""
        super().on_headers_complete()
        self._in_headers = False

    def on_response_complete(self) -> None:
        """It has been answered: the connection is idle, or about to end."""
        super().on_response_complete()
        if self.transport.is_closing():
            self.pause_writing()
        elif self.cycle.response_complete:
            self.idle[self] = None

    def pause_writing(self) -> None:
        """The client does not read: it has ``WRITE_SECONDS`` to begin again."""
        super().pause_writing()
        if self._reading_ends is None:
            self._reading_ends = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads on."""
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
    """The protocol of one port: ``seconds`` for headers, ``most`` connections."""
    return type("PortProtocol", (Protocol,), {"seconds": seconds, "most": most, "idle": {}})
