"""What is asked of PostgreSQL. Every write goes by event id: doing it twice stores it once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from envkit.datastorage.connections import Connections
from envkit.datastorage.contract import FIELDS
from envkit.datastorage.errors import EventRefused, SchemaMissing
from envkit.datastorage.queries import EventQuery
from envkit.datastorage.settings import Settings

_TYPES = {
    "event_data": "jsonb",
    "parent_event_id": "uuid",
    "duration_ms": "bigint",
    "retention_days": "integer",
    "is_sensitive": "boolean",
}
# json_to_recordset reads a JSON null as SQL's NULL, in event_data too, where it is a value like any other.
_INSERT = f"""
INSERT INTO audit_events (event_id, event_timestamp, event_timestamp_given, {", ".join(FIELDS[:2] + FIELDS[3:])})
SELECT event_id, event_timestamp::timestamptz, event_timestamp,
    {", ".join(FIELDS[:2] + FIELDS[3:]).replace("event_data", "coalesce(event_data, 'null')")}
FROM json_to_recordset(%s::json) AS event(event_id uuid, {", ".join(f"{f} {_TYPES.get(f, 'text')}" for f in FIELDS)})
ON CONFLICT (event_id) DO NOTHING
"""  # noqa: S608  made of the contract's own names
_STORED = "SELECT event_id::text FROM audit_events WHERE event_id = ANY(%s::uuid[])"
_WITHDRAW = "DELETE FROM audit_events WHERE event_id = ANY(%s::uuid[])"
_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass('audit_events') AND attnum > 0 AND NOT attisdropped
"""
_NEEDED = {*FIELDS, "event_id", "event_timestamp_given"}


@dataclass(frozen=True)
class Page:
    """One page of a query: rows as stored, how many match in all, and the bytes of event_data in the page."""

    rows: list[dict[str, Any]]
    total: int
    bytes: int


class Database:
    """Audit events in PostgreSQL. Everything here may raise DatabaseUnavailable, and does so within its deadline."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.connections = Connections(settings)

    async def insert(self, document_array: bytes) -> int:
        """Commits the events of a JSON array, all or none, but those already there. Returns how many were new.

        Raises EventRefused when PostgreSQL will never take one of them.
        """
        try:
            text = document_array.decode()
        except UnicodeDecodeError as exc:
            raise EventRefused("not UTF-8") from exc

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(_INSERT, [text])).rowcount

        return await self.connections.run(work, self._settings.database_timeout)

    async def select(self, query: EventQuery) -> Page:
        """The page; without rows when its event_data exceeds ``max_page_bytes``."""
        parameters = query.parameters(self._settings.max_page_bytes)

        async def work(connection: AsyncConnection) -> list[dict[str, Any]]:
            async with connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(query.statement(), parameters)
                return await cursor.fetchall()

        rows = await self.connections.run(work, self._settings.query_timeout)
        return Page([_event(row) for row in rows if row["event_id"]], rows[0]["total"], int(rows[0]["bytes"]))

    async def stored(self, event_ids: Collection[str]) -> set[str]:
        """Those of ``event_ids`` that are stored."""

        async def work(connection: AsyncConnection) -> set[str]:
            rows = await (await connection.execute(_STORED, [list(event_ids)])).fetchall()
            return {row[0] for row in rows}

        return await self.connections.run(work, self._settings.query_timeout)

    async def withdraw(self, event_ids: Collection[str]) -> int:
        """Takes back events that were answered with 503; how many there were."""

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(_WITHDRAW, [list(event_ids)])).rowcount

        return await self.connections.run(work, self._settings.query_timeout)

    async def check(self) -> None:
        """Raises DatabaseUnavailable when writes would fail now, SchemaMissing when the migrations are not there."""
        await self.connections.run(_check_schema, self._settings.redis_timeout)

    async def recover(self) -> None:
        """Looks whether PostgreSQL works again; only then are writes tried again."""
        await self.connections.probe(_check_schema, self._settings.database_timeout)


async def _check_schema(connection: AsyncConnection) -> None:
    rows = await (await connection.execute(_COLUMNS)).fetchall()
    missing = sorted(_NEEDED - {row[0] for row in rows})
    if not rows:
        raise SchemaMissing("the table audit_events is not there: apply the migrations first")
    if missing:
        raise SchemaMissing(f"the table audit_events lacks {', '.join(missing)}: apply the migrations first")


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the contract's event; absent fields stay absent. ``event_data`` is still JSON text."""
    event = {"event_id": str(row["event_id"]), "event_timestamp": row["event_timestamp_given"]}
    for name in FIELDS:
        if name != "event_timestamp" and row[name] is not None:
            event[name] = str(row[name]) if name == "parent_event_id" else row[name]
    return event
