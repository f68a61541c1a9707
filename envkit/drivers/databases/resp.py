"""A minimal client of Redis' protocol (RESP2) over TCP, for probes and stores.

Importing redis-py takes 0.15 s, because that also imports its asyncio part. This is a sixth of the time limit for an
`up` with nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from envkit.base.deadline import Deadline, dial

LONGEST = 1 << 24
"""Longest reply in bytes; a longer reply means another protocol or a faulty server."""


class RedisError(Exception):
    """The server refused the command, did not answer, or cannot be reached; the text has the reason."""


class Redis:
    """One connection. All calls on it together share the deadline that `connect` got."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def call(self, *words: str) -> str:
        """Send a command and return the reply, which must be a string, a status or an integer. Raises `RedisError`."""
        parts = [f"*{len(words)}\r\n".encode()]
        parts += [b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words]
        self._stream.write(b"".join(parts))
        self._stream.flush()
        return self._reply()

    def info(self, section: str) -> dict[str, str]:
        """Return the fields of a section of INFO, by name. Raises `RedisError`."""
        rows = (line.partition(":") for line in self.call("INFO", section).splitlines() if ":" in line)
        return {name: value for name, _, value in rows}

    def _reply(self) -> str:
        line = self._stream.readline(LONGEST)
        if not line.endswith(b"\r\n"):
            raise RedisError("the connection was closed in the middle of an answer")
        kind, rest = line[:1], line[1:-2].decode(errors="replace")
        if kind == b"-":
            raise RedisError(rest)
        if kind in (b"+", b":"):
            return rest
        if kind != b"$":
            raise RedisError(f"not Redis' protocol: {line[:80]!r}")
        length = int(rest)
        if length < 0:
            return ""
        if length > LONGEST:
            raise RedisError(f"not Redis' protocol: {line[:80]!r}")
        data = self._stream.read(length + 2)
        if len(data) < length + 2:
            raise RedisError("the connection was closed in the middle of an answer")
        return data[:length].decode(errors="replace")


@contextmanager
def connect(host: str, port: int, password: str, end: Deadline | float) -> Iterator[Redis]:
    """Open a connection, log in if there is a password, and close the connection afterwards; `end` limits all calls.

    Raises `RedisError` for every error.
    """
    try:
        with dial(host, port, Deadline.of(end)) as plug, plug.makefile("rwb") as stream:
            client = Redis(cast("IO[bytes]", stream))
            if password:
                client.call("AUTH", password)
            yield client
    except (OSError, ValueError) as error:
        raise RedisError(str(error) or type(error).__name__) from error
