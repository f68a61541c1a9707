"""The store PostgreSQL: reset, samples, client and report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

from envkit.base.errors import EnvironmentFailed
from envkit.config.units import about
from envkit.drivers.databases import baseline, sql
from envkit.drivers.databases.login import Login
from envkit.drivers.databases.template import MAINTENANCE
from envkit.drivers.probes import ATTEMPT_SECONDS
from envkit.drivers.probes.postgres import PostgresProbe
from envkit.drivers.stores import Address, NoAnswer, Values, number

SECONDS = 5.0
"""Time limit for each query of a report."""

SAMPLE = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'envkit'),
       current_setting('max_connections')::int, pg_database_size(d.datname), s.xact_rollback, s.deadlocks,
       extract(epoch FROM pg_postmaster_start_time())::bigint
FROM pg_database d LEFT JOIN pg_stat_database s ON s.datname = d.datname WHERE d.datname = :database
"""

QUERIES = {
    "activity": """
        SELECT pid, usename, datname, application_name, client_addr::text, client_port, state, wait_event_type,
               wait_event, now() - query_start AS running, now() - xact_start AS in_transaction, left(query, 500)
        FROM pg_stat_activity WHERE pid <> pg_backend_pid() ORDER BY xact_start NULLS LAST""",
    "locks": """
        SELECT l.pid, pg_blocking_pids(l.pid)::text AS blocked_by, l.locktype, l.mode, l.granted,
               l.relation::regclass::text, left(a.query, 300)
        FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) WHERE pid <> pg_backend_pid()
        ORDER BY l.granted, l.pid""",
    "databases": """
        SELECT d.datname, pg_database_size(d.datname) AS bytes, s.numbackends, s.xact_commit, s.xact_rollback,
               s.deadlocks, s.temp_bytes, s.conflicts
        FROM pg_database d LEFT JOIN pg_stat_database s USING (datname) WHERE d.datallowconn""",
    "tables": """
        SELECT relid::regclass::text, pg_total_relation_size(relid) AS bytes, n_live_tup, n_dead_tup, seq_scan,
               last_autovacuum::text
        FROM pg_stat_user_tables ORDER BY 2 DESC LIMIT 100""",
    "settings": "SELECT name, setting, unit FROM pg_settings WHERE source NOT IN ('default', 'override')",
    "version": "SELECT version()",
}


class Sampling:
    """Reads the server's number of connections, without envkit's, and size, rollbacks and deadlocks of one database.

    It connects to the maintenance database if that exists, so that it does not block DROP or CREATE DATABASE. It keeps
    its connection, because a login takes fifty times as long as the query.
    """

    def __init__(self, login: Login, place: Callable[[], Address]) -> None:
        """Store the login and `place`, which returns the host and the port for each new connection."""
        self._login, self._place = login, place
        self._stack = ExitStack()
        self._connection: sql.Connection | None = None

    def __call__(self) -> Values:
        """Return the current numbers. Raises `NoAnswer`.

        If the kept connection fails, for example after a restart, it tries once with a new connection.
        """
        kept = self._connection is not None
        try:
            return self._ask()
        except sql.SqlError as error:
            self.close()
            if not kept:
                raise NoAnswer(str(error)) from error
        try:
            return self._ask()
        except sql.SqlError as error:
            self.close()
            raise NoAnswer(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection = None
        with suppress(sql.SqlError):
            self._stack.close()

    def _ask(self) -> Values:
        try:
            connection = self._connection or self._connected()
            rows = connection.run(SAMPLE, database=self._login.database) or []
        except sql.SqlError:
            raise
        except Exception as error:  # pg8000's errors on a connection that is kept open
            raise sql.SqlError(str(error)) from error
        return values_of(rows)

    def _connected(self) -> sql.Connection:
        host, port = self._place()
        there = self._login.at(MAINTENANCE)
        try:
            self._connection = self._stack.enter_context(sql.connect(there, host, port, ATTEMPT_SECONDS))
        except sql.SqlError as error:
            if "does not exist" not in str(error):
                raise
            self._connection = self._stack.enter_context(sql.connect(self._login, host, port, ATTEMPT_SECONDS))
        return self._connection


def values_of(rows: list[list[object]]) -> Values:
    """Return the numbers in the one row that `SAMPLE` returns. Raises `NoAnswer` if there is no row."""
    names = ("connections", "max_connections", "database_bytes", "xact_rollback", "deadlocks", "started")
    if not rows:
        raise NoAnswer("the database does not exist")
    return {name: float(str(value)) for name, value in zip(names, rows[0], strict=True) if value is not None}


class PostgresStore:
    """The store PostgreSQL; see `drivers.stores.Store` for its methods."""

    pace = 3.0
    limits_memory = False

    def reset(self, probe: PostgresProbe, address: Address, *, thoroughly: bool) -> str:
        """Reset the database to its state after the migrations; without `thoroughly` do nothing."""
        if not thoroughly:
            return ""
        try:
            return baseline.restore(baseline.Place(probe, *address))
        except sql.SqlError as error:
            raise EnvironmentFailed(str(error)) from error

    def client(self, probe: PostgresProbe, port: int) -> tuple[list[str], dict[str, str]]:
        """Return the command line of psql, and the environment variables with the address and the login."""
        settings = {"HOST": "127.0.0.1", "PORT": str(port), "USER": probe.user, "DATABASE": probe.database}
        return ["psql"], {f"PG{name}": value for name, value in {**settings, "PASSWORD": probe.password}.items()}

    def sampler(self, probe: PostgresProbe, address: Callable[[], Address]) -> Sampling:
        """Return a sampler of the server; it calls `address` for each new connection."""
        return Sampling(probe, address)

    def change(self, before: Values, after: Values) -> str:
        """Return one line of text about the difference between two samples."""
        if before.get("started") != after.get("started"):
            return "the server was restarted"
        first, last = (int(number(values, "connections")) for values in (before, after))
        sizes = (about(number(values, "database_bytes")) for values in (before, after))
        limit = int(number(after, "max_connections"))
        text = f"connections {first} -> {last} of {limit}, database {' -> '.join(sizes)}"
        locks = int(number(after, "deadlocks") - number(before, "deadlocks"))
        return f"{text}, {locks} deadlocks" if locks else text

    def report(self, probe: PostgresProbe, address: Address) -> Iterator[str]:
        """Yield the sessions and their queries, locks, sizes of databases and tables, changed settings and version."""
        try:
            with sql.connect(probe, *address, SECONDS) as connection:
                for what, query in QUERIES.items():
                    rows = _rows(connection, query)
                    yield f"# {what}: {len(rows)} rows\n" + "".join(f"{_row(row)}\n" for row in rows)
        except sql.SqlError as error:
            raise ConnectionError(str(error)) from error


def _rows(connection: sql.Connection, query: str) -> list[list[Any]]:
    try:
        return connection.run(query) or []
    except sql.SqlError as error:
        return [[f"refused: {error}"]]


def _row(row: list[Any]) -> str:
    return " | ".join(" ".join(str(cell).split()) if cell is not None else "-" for cell in row)


STORE = PostgresStore()
