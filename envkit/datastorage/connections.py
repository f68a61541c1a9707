"""Connections to PostgreSQL: a pool with a maximum size, a deadline for each operation, and a circuit breaker.

The deadline also works if the server is stopped (SIGSTOP, paused container). In this case cancelling the waiting
coroutine is not enough: psycopg then sends a cancel request to the same server and waits again. So the deadline shuts
the socket down, which ends the wait.
"""

import asyncio
import logging
import os
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from envkit.datastorage.errors import DatabaseUnavailable, EventRefused, SchemaMissing
from envkit.datastorage.settings import Settings

Result = TypeVar("Result")
Work = Callable[[AsyncConnection], Awaitable[Result]]
LOG = logging.getLogger(__name__)
CONNECT_SECONDS = 2  # the minimum that libpq accepts

# 201 means committed. So synchronous_commit is on, even if the database's configuration lets PostgreSQL answer before
# the WAL is on disk.
_SESSION = "-c synchronous_commit=on -c timezone=UTC -c statement_timeout={statement} -c lock_timeout={lock}"
_SCHEMA_ERRORS = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName)


class Connections:
    """A pool with a circuit breaker: after a failure, ``run`` fails immediately until ``probe`` succeeds.

    ``fault`` is the text of the failure, or None if there is no failure.
    """

    def __init__(self, settings: Settings) -> None:
        self._conninfo = settings.database_url.get_secret_value()
        self._options: dict[str, Any] = {
            "autocommit": True,
            "prepare_threshold": 1,
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "envkit-datastorage",
            "options": _SESSION.format(
                statement=int(settings.query_timeout * 1000), lock=int(settings.database_timeout * 750)
            ),
        }
        self._pool = AsyncConnectionPool(
            self._conninfo,
            kwargs=self._options,
            connection_class=_Connection,
            min_size=min(2, settings.pool_max_size),
            max_size=settings.pool_max_size,
            max_waiting=settings.max_requests_in_flight,
            reconnect_timeout=CONNECT_SECONDS,  # the default backoff could wait a minute after a restart of PostgreSQL
            open=False,
        )
        self.fault: str | None = None

    async def open(self) -> None:
        """Start to open connections in the background, and return at once."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close the pool; wait at most one second for connections in use."""
        await self._pool.close(timeout=1.0)

    def in_use(self) -> int:
        """Return the number of connections in use."""
        stats = self._pool.get_stats()
        return stats.get("pool_size", 0) - stats.get("pool_available", 0)

    async def run(self, work: Work[Result], seconds: float) -> Result:
        """Run ``work`` on a connection of the pool and return its result.

        ``work`` must be safe to repeat: if a pooled connection is dead, ``run`` tries again on another one. Raises
        EventRefused if PostgreSQL refuses the data, and DatabaseUnavailable if PostgreSQL fails or ``seconds`` pass.
        """
        if self.fault is not None:
            raise DatabaseUnavailable(self.fault)
        deadline = asyncio.get_running_loop().time() + seconds
        for attempt in range(self._pool.max_size + 1):
            try:
                return await self._attempt(work, deadline)
            except _ConnectionLost as exc:
                LOG.info("a PostgreSQL connection was lost", extra={"attempt": attempt, "reason": str(exc)})
                reason = str(exc)
        raise self._broken(DatabaseUnavailable(reason))

    async def probe(self, work: Work[None], seconds: float) -> None:
        """Run ``work`` on a new connection; if that succeeds, ``run`` works again, else raise DatabaseUnavailable."""
        try:
            connection = await _Connection.connect(self._conninfo, **self._options)
            async with connection, _deadline(connection, asyncio.get_running_loop().time() + seconds):
                await work(connection)
        except psycopg.Error as exc:
            raise self._broken(_translated(exc)) from exc
        except DatabaseUnavailable as exc:
            raise self._broken(exc) from None
        if self.fault is not None:
            LOG.info("PostgreSQL answers again", extra={"was": self.fault})
        self.fault = None

    async def _attempt(self, work: Work[Result], deadline: float) -> Result:
        loop = asyncio.get_running_loop()
        try:
            async with self._pool.connection(timeout=max(0.0, deadline - loop.time())) as connection:
                try:
                    async with _deadline(connection, deadline):
                        return await work(connection)
                except psycopg.OperationalError as exc:
                    if connection.closed and loop.time() < deadline:
                        raise _ConnectionLost(_first_line(exc)) from exc
                    raise
        except (psycopg.DataError, psycopg.IntegrityError) as exc:
            raise EventRefused(_first_line(exc)) from exc
        except psycopg.Error as exc:
            raise self._broken(_translated(exc)) from exc

    def _broken(self, error: DatabaseUnavailable) -> DatabaseUnavailable:
        if self.fault is None:
            LOG.warning("PostgreSQL failed", extra={"reason": str(error)})
        self.fault = str(error)
        return error


class _Connection(AsyncConnection):
    """A connection that closes its socket at once if the attempt to connect fails.

    psycopg's exception is part of a reference cycle with the frames that hold the half-open socket. Until the next
    garbage collection, the server would keep a backend that waits for a password. PostgreSQL 15 then blocks DROP
    DATABASE.
    """

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> Self:
        try:
            return await super().connect(conninfo, **options)
        except psycopg.Error as exc:
            traceback.clear_frames(exc.__traceback__)
            exc.__context__ = None
            raise


class _ConnectionLost(Exception):
    """The connection ended before the deadline: another connection can still work."""


@asynccontextmanager
async def _deadline(connection: AsyncConnection, at: float) -> AsyncIterator[None]:
    watchdog = asyncio.get_running_loop().call_at(at, _sever, connection)
    try:
        yield
    finally:
        watchdog.cancel()


def _sever(connection: AsyncConnection) -> None:
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)


def _translated(exc: psycopg.Error) -> DatabaseUnavailable:
    if isinstance(exc, _SCHEMA_ERRORS):
        return SchemaMissing(f"{_first_line(exc)}: apply the migrations first")
    return DatabaseUnavailable(_first_line(exc))


def _first_line(exc: Exception) -> str:
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]
