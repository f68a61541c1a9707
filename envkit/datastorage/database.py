"""The statements that the service runs in PostgreSQL. The event id is the key, so repeating a write changes nothing."""

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
# json_to_recordset turns JSON null into SQL NULL. In event_data, JSON null is a valid value; coalesce restores it.
_INSERT = f"""
INSERT INTO audit_events (event_id, event_timestamp, event_timestamp_given, {", ".join(FIELDS[:2] + FIELDS[3:])})
SELECT event_id, event_timestamp::timestamptz, event_timestamp,
    {", ".join(FIELDS[:2] + FIELDS[3:]).replace("event_data", "coalesce(event_data, 'null')")}
FROM json_to_recordset(%s::json) AS event(event_id uuid, {", ".join(f"{f} {_TYPES.get(f, 'text')}" for f in FIELDS)})
ON CONFLICT (event_id) DO NOTHING
"""  # noqa: S608  the names come from the contract, not from a request
_STORED = "SELECT event_id::text FROM audit_events WHERE event_id = ANY(%s::uuid[])"
_WITHDRAW = "DELETE FROM audit_events WHERE event_id = ANY(%s::uuid[])"
_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass('audit_events') AND attnum > 0 AND NOT attisdropped
"""
_NEEDED = {*FIELDS, "event_id", "event_timestamp_given"}


@dataclass(frozen=True)
class Page:
    """One page of a query: its rows, the number of all matching events, and the bytes of event_data in the page."""

    rows: list[dict[str, Any]]
    total: int
    bytes: int


class Database:
    """The table of audit events. Each method raises DatabaseUnavailable if PostgreSQL fails or is too slow."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.connections = Connections(settings)

    async def insert(self, document_array: bytes) -> int:
        """Insert the events of a JSON array in one transaction and return how many were new.

        It skips events that are already stored. Raises EventRefused if PostgreSQL can never store one of them.
        """
        try:
            text = document_array.decode()
        except UnicodeDecodeError as exc:
            raise EventRefused("not UTF-8") from exc

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(_INSERT, [text])).rowcount

        return await self.connections.run(work, self._settings.database_timeout)

    async def select(self, query: EventQuery) -> Page:
        """Return the page that ``query`` describes, without rows if its event_data exceeds ``max_page_bytes``."""
        parameters = query.parameters(self._settings.max_page_bytes)

        async def work(connection: AsyncConnection) -> list[dict[str, Any]]:
            async with connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(query.statement(), parameters)
                return await cursor.fetchall()

        rows = await self.connections.run(work, self._settings.query_timeout)
        return Page([_event(row) for row in rows if row["event_id"]], rows[0]["total"], int(rows[0]["bytes"]))

    async def stored(self, event_ids: Collection[str]) -> set[str]:
        """Return those ids of ``event_ids`` whose events are stored."""

        async def work(connection: AsyncConnection) -> set[str]:
            rows = await (await connection.execute(_STORED, [list(event_ids)])).fetchall()
            return {row[0] for row in rows}

        return await self.connections.run(work, self._settings.query_timeout)

    async def withdraw(self, event_ids: Collection[str]) -> int:
        """Delete events that the service refused with 503, and return the number of deleted events."""

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(_WITHDRAW, [list(event_ids)])).rowcount

        return await self.connections.run(work, self._settings.query_timeout)

    async def check(self) -> None:
        """Raise DatabaseUnavailable if writes would fail now, and SchemaMissing if the migrations are not applied."""
        await self.connections.run(_check_schema, self._settings.redis_timeout)

    async def recover(self) -> None:
        """Allow writes again if PostgreSQL works on a new connection, or else raise DatabaseUnavailable."""
        await self.connections.probe(_check_schema, self._settings.database_timeout)


async def _check_schema(connection: AsyncConnection) -> None:
    rows = await (await connection.execute(_COLUMNS)).fetchall()
    missing = sorted(_NEEDED - {row[0] for row in rows})
    if not rows:
        raise SchemaMissing("the table audit_events does not exist: apply the migrations first")
    if missing:
        raise SchemaMissing(f"the table audit_events lacks {', '.join(missing)}: apply the migrations first")


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as an event of the contract, without fields that are NULL. ``event_data`` is still JSON text."""
    event = {"event_id": str(row["event_id"]), "event_timestamp": row["event_timestamp_given"]}
    for name in FIELDS:
        if name != "event_timestamp" and row[name] is not None:
            event[name] = str(row[name]) if name == "parent_event_id" else row[name]
    return event
