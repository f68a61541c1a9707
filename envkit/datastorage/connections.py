"""The way to PostgreSQL: a bounded pool, a deadline that works on a stopped server, and a breaker.

A coroutine that waits for a stopped (SIGSTOP, paused container) server cannot simply be cancelled: psycopg then asks
that same server to cancel, and waits for it again. So the deadline shuts the socket down, and the wait ends by itself.
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
CONNECT_SECONDS = 2  # libpq's own least value

# 201 means committed: a database set to answer before its log is written must not weaken that.
_SESSION = "-c synchronous_commit=on -c timezone=UTC -c statement_timeout={statement} -c lock_timeout={lock}"
_SCHEMA_ERRORS = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName)


class Connections:
    """Runs work on connections. After a failure it refuses at once (``fault``) until ``probe`` finds all well."""

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
            reconnect_timeout=CONNECT_SECONDS,  # the default's backoff would leave a minute after a restart
            open=False,
        )
        self.fault: str | None = None

    async def open(self) -> None:
        """Starts to connect, without waiting for it."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Closes the pool, waiting a second at most for what is in use."""
        await self._pool.close(timeout=1.0)

    def in_use(self) -> int:
        """Connections that are working now."""
        stats = self._pool.get_stats()
        return stats.get("pool_size", 0) - stats.get("pool_available", 0)

    async def run(self, work: Work[Result], seconds: float) -> Result:
        """``work``'s result. Raises EventRefused, or DatabaseUnavailable at the latest after ``seconds``.

        ``work`` must be safe to repeat: a connection that died in the pool is replaced and the work done again.
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
        """Tries ``work`` on a connection of its own; success lets ``run`` work again. Raises DatabaseUnavailable."""
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
    """Lets go of an attempt to connect that failed.

    psycopg's exception refers, in a cycle, to the frames that hold the half-open socket. Until the next garbage
    collection the server would keep a backend waiting for a password; in PostgreSQL 15 that holds up DROP DATABASE.
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
    """The connection died with time left: another may still live."""


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
