"""Connects to PostgreSQL over TCP with pg8000, which is pure Python and so installs on every platform."""

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
"""The `application_name` of envkit's connections; samples do not count these connections."""

CLOSING_SECONDS = 1.0
"""Time limit for closing a connection; the server sends nothing useful at that time."""

NO_RIGHT = "42501"
"""SQLSTATE `insufficient_privilege`."""

SSL_REQUEST = 80877103
"""Code of the request for TLS; see https://www.postgresql.org/docs/current/protocol-message-formats.html."""


class SqlError(Exception):
    """The server refused the request, did not answer, or cannot be reached.

    `code` is the server's SQLSTATE or an empty string.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Connection(Protocol):
    """The methods of a connection that envkit uses."""

    def run(self, sql: str, **parameters: Any) -> list[list[Any]] | None:
        """Run a statement and return the rows, or None if the statement has no result.

        Without parameters it accepts several statements at once.
        """


@contextmanager
def connect(login: Login, host: str, port: int, end: Deadline | float) -> Iterator[Connection]:
    """Open a connection, and close it afterwards. Raises `SqlError` for every error.

    If `end` is a deadline, it limits the whole use of the connection. If it is a number of seconds, it limits the login
    and then each statement separately.
    """
    import pg8000.native

    deadline = Deadline.of(end)
    try:
        # If pg8000 opened the socket, the socket would stay open when the server accepts and then sends nothing.
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
    """A connection that renews the deadline for every statement."""

    def __init__(self, connection: Connection, deadline: Deadline) -> None:
        self._connection, self._deadline = connection, deadline

    def run(self, sql: str, **parameters: Any) -> list[list[Any]] | None:
        """Run a statement within the seconds that `connect` got, and return the rows."""
        self._deadline.renew()
        return self._connection.run(sql, **parameters)


def encrypted(plug: Plug) -> Plug | TlsPlug:
    """Return the connection with TLS if the server offers TLS, or else without TLS, as with `sslmode=prefer`.

    It does not verify the server's certificate. pg8000's own TLS would first read all of the system's certificates,
    which takes 0.03 s, and then not use them.
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
    """Return the server's message as text, from its one-letter fields (M message, D detail, H hint)."""
    return ". ".join(str(fields[key]) for key in ("M", "D", "H") if fields.get(key))


def _fields(error: Exception) -> Mapping[str, str]:
    return error.args[0] if error.args and isinstance(error.args[0], dict) else {}


def _words(error: Exception) -> str:
    said = sentence(_fields(error)) or str(error) or type(error).__name__
    return "the connection was closed before an answer" if said == "network error" else said
