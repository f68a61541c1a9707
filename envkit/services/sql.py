"""PostgreSQL over TCP from the host, with pg8000: pure Python, so it comes with the base dependencies everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from envkit.config.models import PostgresProbe

OURS = "envkit"
"""The `application_name` of envkit's own connections: not to be counted among a suite's."""


class SqlError(Exception):
    """The server refused, was silent, or is not there; the text says which."""


class Connection(Protocol):
    """What is used of a connection; without parameters `run` takes several statements at once."""

    def run(self, sql: str, **parameters: Any) -> list[list[Any]] | None:
        """Rows, or None when the statement has none."""


@contextmanager
def connect(login: PostgresProbe, host: str, port: int, seconds: float | None) -> Iterator[Connection]:
    """A connection, closed at the end; `seconds` bounds every read. Everything that goes wrong is `SqlError`."""
    import socket

    import pg8000.native

    try:
        # pg8000 leaves its own socket open when the server accepts and then says nothing
        with socket.create_connection((host, port), timeout=seconds) as plug:
            connection = pg8000.native.Connection(
                login.user, sock=plug, database=login.database, password=login.password, timeout=seconds,
                application_name=OURS,
            )  # fmt: skip
            try:
                yield connection
            finally:
                with suppress(pg8000.native.Error, OSError):
                    connection.close()
    except (pg8000.native.Error, OSError) as error:
        raise SqlError(_words(error)) from error


def _words(error: Exception) -> str:
    """The server's message out of pg8000's dictionary of one-letter fields (M message, D detail, H hint)."""
    fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    words = ". ".join(str(fields[key]) for key in ("M", "D", "H") if fields.get(key))
    said = words or str(error) or type(error).__name__
    return "the connection was closed before an answer" if said == "network error" else said
