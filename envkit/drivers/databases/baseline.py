"""Resets a database to its state after the migrations; `template` keeps a copy of that state on the same server.

The reset is usually quick and keeps all connections: it empties tables that tests filled, restores the rows that
migrations inserted, and sets sequences back. If the schema has changed, or the user has no right to restore rows, it
creates the database again from the copy. This ends the connections to the database. The copy's comment has the digest
of the copy's schema, the digests of its rows, and the values of its sequences. So one connection is enough to find the
differences.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from envkit.base.waiting import FIRST_POLL, retry
from envkit.drivers.databases.login import Login
from envkit.drivers.databases.sql import NO_RIGHT, Connection, SqlError, connect
from envkit.drivers.databases.template import MAINTENANCE, template_of

SECONDS = 5.0
"""Time limit for each statement, and for the wait until no other connection uses the copied database."""

LEDGER = "public.goose_db_version"
"""The table in which goose records migrations; a reset without a known state of the copy never empties it."""

_USERS_OWN = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

_TABLES = f"""
SELECT n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname), c.oid
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND {_USERS_OWN}
  AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e') ORDER BY 1
"""  # noqa: S608  constants

_REFERENCES = "SELECT confrelid, conrelid FROM pg_constraint WHERE contype = 'f' AND confrelid <> conrelid"

_SEQUENCES = "SELECT format('%I.%I', schemaname, sequencename), start_value, last_value FROM pg_sequences ORDER BY 1"

_SCHEMA = f"""
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
  SELECT 'r ' || n.nspname || c.relname || c.relkind::text || c.relpersistence::text || c.relrowsecurity::text
      || coalesce(c.relacl::text, '') || coalesce(pg_get_expr(c.relpartbound, c.oid), '')
      || coalesce(c.reloptions::text, '') || CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) ELSE '' END
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_USERS_OWN}
  UNION ALL SELECT 'a ' || a.attrelid::regclass::text || ' ' || a.attnum || a.attname
      || format_type(a.atttypid, a.atttypmod) || a.attnotnull::text || a.attidentity::text
      || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f') AND {_USERS_OWN}
  UNION ALL SELECT 'i ' || pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_USERS_OWN}
  UNION ALL SELECT 'c ' || k.conrelid::regclass::text || k.conname || pg_get_constraintdef(k.oid) FROM pg_constraint k
    JOIN pg_namespace n ON n.oid = k.connamespace WHERE {_USERS_OWN}
  UNION ALL SELECT 'f ' || p.oid::regprocedure::text || coalesce(p.prosrc, '') FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_USERS_OWN}
  UNION ALL SELECT 't ' || pg_get_triggerdef(t.oid) || t.tgenabled::text FROM pg_trigger t WHERE NOT t.tgisinternal
  UNION ALL SELECT 'e ' || e.enumtypid::regtype::text || e.enumsortorder || e.enumlabel FROM pg_enum e
  UNION ALL SELECT 'x ' || x.extname || x.extversion FROM pg_extension x
  UNION ALL SELECT 'n ' || n.nspname || coalesce(n.nspacl::text, '') FROM pg_namespace n WHERE {_USERS_OWN}
) lines(line)
"""  # noqa: S608  constants


@dataclass(frozen=True)
class Baseline:
    """The state after the migrations.

    It has digests of the schema and of the rows of each table that is not empty, and the last values of sequences.
    """

    schema: str
    seeded: Mapping[str, str] = field(default_factory=dict)
    sequences: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """A database server and the login for it; `login.database` is the database to reset."""

    login: Login
    host: str
    port: int

    @property
    def copy(self) -> str:
        """The name of the copy of the migrated database."""
        return template_of(self.login.database)

    def connect(self, database: str = "") -> Any:
        """Return a connection to the named database, or without a name to the login's database."""
        login = self.login.at(database) if database else self.login
        return connect(login, self.host, self.port, SECONDS)

    def beside(self) -> Any:
        """Return a connection to a maintenance database: such a connection does not block DROP or CREATE DATABASE."""
        return self.connect("template1" if self.login.database == MAINTENANCE else MAINTENANCE)


def note(place: Place, report: Callable[[str], None]) -> None:
    """Write the state of the copy into the comment of the copy.

    Only `reset` needs the comment, so an error does not stop `up`; envkit passes it to `report`.
    """
    try:
        with place.connect(place.copy) as connection:
            said = json.dumps({"envkit": 1, **asdict(_describe(connection))})
            connection.run(f"COMMENT ON DATABASE {_quoted(place.copy)} IS {_literal(said)}")
    except SqlError as error:
        report(f"`reset` will not know the state after the migrations: {error}")


def restore(place: Place) -> str:
    """Reset the database to its state after the migrations; return a text about the changes. Raises `SqlError`."""
    try:
        with place.connect() as connection:
            baseline = _known(connection, place)
            now = connection.run(_SCHEMA)[0][0]
            if baseline is None or baseline.schema == now:
                return _emptied(connection, place, baseline)
            why = "its schema had been changed"
    except SqlError as error:
        # Before PostgreSQL 15 only a superuser is allowed to fill tables without their triggers.
        if error.code != NO_RIGHT and "does not exist" not in str(error) and "lock timeout" not in str(error):
            raise
        why = str(error)
    return f"{why}: {_made_anew(place)}"


def _describe(connection: Connection) -> Baseline:
    schema = (connection.run(_SCHEMA) or [[""]])[0][0]
    tables = [(name, quoted) for name, quoted, _ in connection.run(_TABLES) or []]
    seeded = {name: digest for name, quoted in tables if (digest := _digest(connection, quoted))}
    sequences = {name: last for name, _, last in connection.run(_SEQUENCES) or []}
    return Baseline(schema, seeded, sequences)


def _digest(connection: Connection, table: str) -> str:
    """Return a digest of all rows of a table, or an empty string if the table has no rows."""
    rows = connection.run(f"SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {table} t")  # noqa: S608  quoted
    return str((rows or [[None]])[0][0] or "")


def _known(connection: Connection, place: Place) -> Baseline | None:
    asked = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = :name"
    rows = connection.run(asked, name=place.copy)
    try:
        said = json.loads(rows[0][0]) if rows and rows[0][0] else {}
        return Baseline(said["schema"], said["seeded"], said["sequences"]) if said.get("envkit") == 1 else None
    except (ValueError, KeyError, AttributeError):
        return None


def _emptied(connection: Connection, place: Place, baseline: Baseline | None) -> str:
    """Reset the rows and sequences of a database without a change of its schema; return a text about the changes."""
    tables = {name: (quoted, oid) for name, quoted, oid in connection.run(_TABLES) or []}
    seeded = baseline.seeded if baseline else {}
    dirty = {name for name, (quoted, _) in tables.items() if _is_dirty(connection, name, quoted, seeded)}
    if baseline is None:
        dirty.discard(LEDGER)
    dirty |= _referring(connection, dirty, {oid: name for name, (_, oid) in tables.items()})
    rows = {name: _rows_of(place, tables[name][0]) for name in sorted(dirty) if name in seeded}
    connection.run("BEGIN")
    connection.run(f"SET LOCAL lock_timeout = '{int(SECONDS * 400)}ms'")
    if dirty:
        connection.run(f"TRUNCATE {', '.join(tables[name][0] for name in sorted(dirty))} RESTART IDENTITY")
    if rows:
        connection.run("SET LOCAL session_replication_role = replica")
        for name, content in rows.items():
            connection.run(f"COPY {tables[name][0]} FROM STDIN", stream=io.BytesIO(content))
    _wind_back(connection, baseline)
    connection.run("COMMIT")
    told = f"{len(dirty)} tables emptied" if dirty else "as it was"
    return told + (f", {len(rows)} of them filled again" if rows else "")


def _is_dirty(connection: Connection, name: str, quoted: str, seeded: Mapping[str, str]) -> bool:
    if name in seeded:
        return _digest(connection, quoted) != seeded[name]
    return bool((connection.run(f"SELECT EXISTS (SELECT 1 FROM {quoted})") or [[False]])[0][0])  # noqa: S608  quoted


def _referring(connection: Connection, dirty: Iterable[str], names: Mapping[int, str]) -> set[str]:
    """Return the changed tables (`dirty`) and all tables that refer to them, which TRUNCATE must name as well."""
    pairs = [(names.get(to), names.get(by)) for to, by in connection.run(_REFERENCES) or []]
    found, grown = set(dirty), True
    while grown:
        more = {by for to, by in pairs if to in found and by} - found
        found |= more
        grown = bool(more)
    return found


def _rows_of(place: Place, table: str) -> bytes:
    """Return a table's rows in the copy, in the format of COPY."""
    buffer = io.BytesIO()
    with place.connect(place.copy) as connection:
        connection.run(f"COPY {table} TO STDOUT", stream=buffer)
    return buffer.getvalue()


def _wind_back(connection: Connection, baseline: Baseline | None) -> None:
    """Set every sequence to its value in the baseline; a sequence that the baseline lacks gets its start value."""
    for name, start, last in connection.run(_SEQUENCES) or []:
        before = baseline.sequences.get(name) if baseline else None
        if baseline is None and last is not None and name.startswith("public.goose_db_version"):
            continue
        if last != before:
            connection.run(
                "SELECT setval(:name, :value, :called)", name=name, value=before or start, called=before is not None
            )


def _made_anew(place: Place) -> str:
    """Drop the database, create it again from the copy, and return a text about that. Raises `SqlError`."""
    with place.beside() as connection:
        if _known(connection, place) is None:
            raise SqlError("the schema was changed, and there is no copy of the migrated database to go back to")
        connection.run(f"DROP DATABASE IF EXISTS {_quoted(place.login.database)} WITH (FORCE)")
        _patiently(connection, f"CREATE DATABASE {_quoted(place.login.database)} TEMPLATE {_quoted(place.copy)}")
    return "made anew from the copy"


def _patiently(connection: Connection, statement: str) -> None:
    """Run a statement that copies a database; retry while another program, such as a probe, is connected to it."""

    def pause(error: BaseException, _tries: int) -> float | None:
        return FIRST_POLL if "being accessed by other users" in str(error) else None

    retry(lambda: connection.run(statement), seconds=SECONDS, pauses=pause)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
