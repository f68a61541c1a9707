"""PostgreSQL over TCP from the host, with pg8000: pure Python, so it comes with the base dependencies everywhere."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from envkit.config.models import PostgresProbe

OURS = "envkit"
"""The `application_name` of envkit's own connections: not to be counted among a suite's."""

SSL_REQUEST = 80877103
"""Asks whether the server talks TLS; see https://www.postgresql.org/docs/current/protocol-message-formats.html."""


class SqlError(Exception):
    """The server refused, was silent, or is not there; the text says which."""


class Connection(Protocol):
    """What is used of a connection; without parameters `run` takes several statements at once."""

    def run(self, sql: str, **parameters: Any) -> list[list[Any]] | None:
        """Rows, or None when the statement has none."""


@contextmanager
def connect(login: PostgresProbe, host: str, port: int, seconds: float | None) -> Iterator[Connection]:
    """A connection, closed at the end; `seconds` bounds every read. Everything that goes wrong is `SqlError`."""
    import pg8000.native

    try:
        # pg8000 leaves its own socket open when the server accepts and then says nothing
        with socket.create_connection((host, port), timeout=seconds) as plain, encrypted(plain) as plug:
            connection = pg8000.native.Connection(
                login.user, sock=plug, database=login.database, password=login.password, timeout=seconds,
                application_name=OURS, ssl_context=False,
            )  # fmt: skip
            try:
                yield connection
            finally:
                with suppress(pg8000.native.Error, OSError):
                    connection.close()
    except (pg8000.native.Error, OSError) as error:
        raise SqlError(_words(error)) from error


def encrypted(plug: socket.socket) -> socket.socket:
    """The connection as the server wants it, with TLS or without; a certificate is not judged, as by `sslmode=prefer`.

    pg8000 would read all of the system's certificates first, 0.03 s, and not use one.
    """
    plug.sendall(struct.pack("!ii", 8, SSL_REQUEST))
    answer = plug.recv(1)
    if answer == b"N":
        return plug
    if answer == b"S":
        import ssl

        return ssl._create_unverified_context().wrap_socket(plug)  # noqa: S323  encrypted, as `sslmode=require`
    said = f"not PostgreSQL's protocol: {answer!r}" if answer else "the connection was closed before an answer"
    raise SqlError(said)


def sentence(fields: Mapping[str, Any]) -> str:
    """The server's message out of its one-letter fields (M message, D detail, H hint)."""
    return ". ".join(str(fields[key]) for key in ("M", "D", "H") if fields.get(key))


def _words(error: Exception) -> str:
    fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    said = sentence(fields) or str(error) or type(error).__name__
    return "the connection was closed before an answer" if said == "network error" else said
