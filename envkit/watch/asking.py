"""What Redis, PostgreSQL and the API server say of themselves: one question each, numbers as the answer."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from envkit.drivers.databases import resp, sql
from envkit.drivers.databases.template import MAINTENANCE
from envkit.drivers.probes import ATTEMPT_SECONDS
from envkit.drivers.probes.postgres import PostgresProbe
from envkit.drivers.probes.redis import RedisProbe

if TYPE_CHECKING:
    from envkit.drivers.clusters.api import Api

Values = Mapping[str, float | str]

Ask = Callable[[], Values]
"""One question. Raises `Silent` when there is no answer."""

_REDIS = (
    "used_memory", "used_memory_peak", "maxmemory", "evicted_keys", "rejected_connections", "connected_clients",
    "uptime_in_seconds", "lazyfree_pending_objects",
)  # fmt: skip

_POSTGRES = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'envkit'),
       current_setting('max_connections')::int, pg_database_size(d.datname), s.xact_rollback, s.deadlocks,
       extract(epoch FROM pg_postmaster_start_time())::bigint
FROM pg_database d LEFT JOIN pg_stat_database s ON s.datname = d.datname WHERE d.datname = :database
"""

_REJECTED = re.compile(
    rb"^(?:apiserver_flowcontrol_rejected_requests_total|apiserver_dropped_requests_total)(?:\{[^\n]*\})? ([0-9.e+]+)$",
    re.MULTILINE,
)


class Silent(Exception):
    """No answer; the text says what was seen instead."""


def redis(login: RedisProbe, host: str, port: int) -> Values:
    """Memory, evictions, refused writes (`refused_writes`) and since when this very server runs (`run_id`)."""
    try:
        with resp.connect(host, port, login.password, ATTEMPT_SECONDS) as client:
            return redis_values(client.info("default"))
    except resp.RedisError as error:
        raise Silent(str(error)) from error


def redis_values(said: Mapping[str, str]) -> Values:
    """The part of INFO that is worth keeping."""
    found: dict[str, float | str] = {name: float(said[name]) for name in _REDIS if name in said}
    refused = re.search(r"count=(\d+)", said.get("errorstat_OOM", ""))
    found["refused_writes"] = float(refused[1]) if refused else 0.0
    return found | {name: said[name] for name in ("run_id", "maxmemory_policy") if name in said}


class Postgres:
    """Asks for connections (not counting envkit's), size, rollbacks and deadlocks of the login's database.

    It asks from another database where there is one, to be in nobody's way, and keeps its connection: logging in takes
    fifty times as long as the question.
    """

    def __init__(self, login: PostgresProbe, place: Callable[[], tuple[str, int]]) -> None:
        """`place` is asked for host and port when a connection is made."""
        self._login, self._place = login, place
        self._stack = ExitStack()
        self._connection: sql.Connection | None = None

    def __call__(self) -> Values:
        """One question. A server that was started again is asked on a new connection."""
        kept = self._connection is not None
        try:
            return self._ask()
        except sql.SqlError as error:
            self.close()
            if not kept:
                raise Silent(str(error)) from error
        try:
            return self._ask()
        except sql.SqlError as error:
            self.close()
            raise Silent(str(error)) from error

    def close(self) -> None:
        """Give the connection back."""
        self._connection = None
        with suppress(sql.SqlError):
            self._stack.close()

    def _ask(self) -> Values:
        try:
            connection = self._connection or self._connected()
            rows = connection.run(_POSTGRES, database=self._login.database) or []
        except sql.SqlError:
            raise
        except Exception as error:  # a driver's own, on a connection that is kept
            raise sql.SqlError(str(error)) from error
        return _postgres_values(rows)

    def _connected(self) -> sql.Connection:
        host, port = self._place()
        there = self._login.model_copy(update={"database": MAINTENANCE})
        try:
            self._connection = self._stack.enter_context(sql.connect(there, host, port, ATTEMPT_SECONDS))
        except sql.SqlError as error:
            if "does not exist" not in str(error):
                raise
            self._connection = self._stack.enter_context(sql.connect(self._login, host, port, ATTEMPT_SECONDS))
        return self._connection


def postgres(login: PostgresProbe, host: str, port: int) -> Values:
    """One question on a connection of its own. Raises `Silent`."""
    asker = Postgres(login, lambda: (host, port))
    try:
        return asker()
    finally:
        asker.close()


def _postgres_values(rows: list[list[object]]) -> Values:
    names = ("connections", "max_connections", "database_bytes", "xact_rollback", "deadlocks", "started")
    if not rows:
        raise Silent("the database is not there")
    return {name: float(str(value)) for name, value in zip(names, rows[0], strict=True) if value is not None}


def apiserver(api: Api) -> Values:
    """Whether it is ready, and how long it took to say so."""
    began = time.monotonic()
    seen = api.readyz()
    took = time.monotonic() - began
    if seen is not None:
        raise Silent(seen)
    return {"ready": 1.0, "latency": round(took, 4)}


def rejected(api: Api) -> Values:
    """Requests that the API server refused because of too many, since it began. Its metrics are megabytes: rarely."""
    from envkit.drivers.clusters.api import ApiError, Busy

    with suppress(ApiError, Busy):
        text = api.ask("GET", "/metrics")
        if isinstance(text, str):
            return {"rejected": sum(float(found) for found in _REJECTED.findall(text.encode()))}
    return {}
