"""PostgreSQL over TCP from the host, with pg8000: pure Python, so it comes with the base dependencies everywhere."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from envkit.base import deadline as sockets
from envkit.base.deadline import Deadline, Plug
from envkit.drivers.databases.login import Login

if TYPE_CHECKING:
    from envkit.base.deadline_tls import TlsPlug

OURS = "envkit"
"""The `application_name` of envkit's own connections: not to be counted among a suite's."""

CLOSING_SECONDS = 1.0
"""For the goodbye to the server, which tells nothing new."""

NO_RIGHT = "42501"
"""SQLSTATE `insufficient_privilege`."""

SSL_REQUEST = 80877103
"""Asks whether the server talks TLS; see https://www.postgresql.org/docs/current/protocol-message-formats.html."""


class SqlError(Exception):
    """The server refused, was silent, or is not there; the text says which, `code` is the server's own (SQLSTATE)."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Connection(Protocol):
    """What is used of a connection; without parameters `run` takes several statements at once."""

    def run(self, sql: str, **parameters: Any) -> list[list[Any]] | None:
        """Rows, or None when the statement has none."""


@contextmanager
def connect(login: Login, host: str, port: int, end: Deadline | float) -> Iterator[Connection]:
    """A connection, closed at the end. Everything that goes wrong is `SqlError`.

    A deadline bounds all that is done with it; a number of seconds the login, and then each statement anew.
    """
    import pg8000.native

    deadline = Deadline.of(end)
    try:
        # pg8000 leaves its own socket open when the server accepts and then says nothing
        with sockets.dial(host, port, deadline) as plain, encrypted(plain) as plug:
            connection = pg8000.native.Connection(
                login.user, sock=plug, database=login.database, password=login.password,
                application_name=OURS, ssl_context=False,
            )  # fmt: skip
            try:
                yield connection if isinstance(end, Deadline) else _Each(connection, deadline)
            finally:
                plug.deadline = Deadline(CLOSING_SECONDS)
                with suppress(pg8000.native.Error, OSError):
                    connection.close()
    except (pg8000.native.Error, OSError) as error:
        raise SqlError(_words(error), _fields(error).get("C", "")) from error


class _Each:
    """Gives every statement its own time."""

    def __init__(self, connection: Connection, deadline: Deadline) -> None:
        self._connection, self._deadline = connection, deadline

    def run(self, sql: str, **parameters: Any) -> list[list[Any]] | None:
        """As the connection does, within the seconds that it was opened with."""
        self._deadline.renew()
        return self._connection.run(sql, **parameters)


def encrypted(plug: Plug) -> Plug | TlsPlug:
    """The connection as the server wants it, with TLS or without; a certificate is not judged, as by `sslmode=prefer`.

    pg8000 would read all of the system's certificates first, 0.03 s, and not use one.
    """
    plug.sendall(struct.pack("!ii", 8, SSL_REQUEST))
    answer = plug.recv(1)
    if answer == b"N":
        return plug
    if answer == b"S":
        import ssl

        from envkit.base import deadline_tls as tls

        return tls.encrypted(plug, ssl._create_unverified_context())  # noqa: S323  as `sslmode=require`
    said = f"not PostgreSQL's protocol: {answer!r}" if answer else "the connection was closed before an answer"
    raise SqlError(said)


def sentence(fields: Mapping[str, Any]) -> str:
    """The server's message out of its one-letter fields (M message, D detail, H hint)."""
    return ". ".join(str(fields[key]) for key in ("M", "D", "H") if fields.get(key))


def _fields(error: Exception) -> Mapping[str, str]:
    return error.args[0] if error.args and isinstance(error.args[0], dict) else {}


def _words(error: Exception) -> str:
    said = sentence(_fields(error)) or str(error) or type(error).__name__
    return "the connection was closed before an answer" if said == "network error" else said
