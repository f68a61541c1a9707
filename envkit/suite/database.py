"""Gives each pytest worker its own database, cloned from the migrated database and dropped afterwards.

If a worker crashes, the next run drops its database.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from envkit.base.errors import SuiteError
from envkit.drivers.databases.template import template_of
from envkit.suite.environment import Environment
from envkit.suite.eventually import NotWithin, eventually
from envkit.suite.libraries import needed

if TYPE_CHECKING:
    from psycopg import Connection

PREFIX = "envkit_suite_"
"""Prefix of the names of all databases that this module creates; `sweep` drops those whose owners have ended."""

MAINTENANCE = "postgres"
"""The database that this module connects to for CREATE and DROP DATABASE and for locks; every PostgreSQL has it."""

SECONDS = 30.0
CONNECT_SECONDS = 5
CLONING = 0x656E766B6974
"""The key of the advisory lock that allows only one clone at a time."""


@dataclass(frozen=True)
class Database:
    """The database of one worker."""

    name: str
    url: str

    def connect(self, **options: Any) -> Connection[Any]:
        """Return a psycopg connection. The caller closes it, or uses it in a `with`."""
        library = needed("psycopg", "envkit_database")
        found: Connection[Any] = library.connect(self.url, **{"connect_timeout": CONNECT_SECONDS, **options})
        return found


@contextmanager
def database(environment: Environment | None = None, worker: str = "") -> Iterator[Database]:
    """Create a database with the result of the migrations and no other data; drop it when the context ends.

    First it drops databases that ended runs left behind. It finds them by their locks: PostgreSQL releases the lock of
    a database when its owner ends. Raises `SuiteError` if it cannot connect or clone.
    """
    environment = environment or Environment()
    url = environment.database_url
    name = f"{PREFIX}{re.sub(r'[^a-z0-9]', '_', worker.lower())[:10]}_{uuid.uuid4().hex[:10]}"
    library = needed("psycopg", "envkit_database")
    with _maintaining(library, url) as keeper:
        keeper.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
        try:
            sweep(keeper)
            _clone(keeper, _source(keeper, urlsplit(url).path.lstrip("/")), name)
            yield Database(name, at(url, name))
        finally:
            _drop(keeper, name)


def sweep(keeper: Connection[Any]) -> list[str]:
    """Drop the suite databases whose owners have ended, and return their names."""
    rows = keeper.execute(
        "SELECT datname FROM pg_database WHERE left(datname, %s) = %s", [len(PREFIX), PREFIX]
    ).fetchall()
    gone = []
    for (name,) in rows:
        if _one(keeper, "SELECT pg_try_advisory_lock(hashtext(%s))", name):
            try:
                _drop(keeper, name)
                gone.append(str(name))
            finally:
                keeper.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])
    return gone


def at(url: str, name: str) -> str:
    """Return `url` with the database replaced by `name`."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextmanager
def _maintaining(library: Any, url: str) -> Iterator[Connection[Any]]:
    try:
        connection = library.connect(at(url, MAINTENANCE), autocommit=True, connect_timeout=CONNECT_SECONDS)
    except library.Error as error:
        raise SuiteError(f"cannot create a database: {error}", hint="`envkit status` shows PostgreSQL") from error
    try:
        connection.execute(f"SET statement_timeout = {int(SECONDS * 1000)}")
        yield connection
    finally:
        connection.close()


def _source(keeper: Connection[Any], database: str) -> str:
    """Return the name of the template of `database`, or `database` if there is no template.

    Clients connect to a database, but not to its template, so PostgreSQL can clone a template at any time.
    """
    template = template_of(database)
    there = _one(keeper, "SELECT count(*) FROM pg_database WHERE datname = %s", template)
    return template if there else database


def _clone(keeper: Connection[Any], source: str, name: str) -> None:
    """Create the database `name` from `source`; retry while other clients are connected to `source`.

    Raises `SuiteError`, which names these clients, after 30 s.
    """
    library = needed("psycopg", "envkit_database")

    def attempt() -> bool:
        _locked_clone(keeper, source, name)
        return True

    try:
        eventually(attempt, what=f"a copy of {source}", seconds=SECONDS, tries_again=(library.errors.ObjectInUse,))
    except NotWithin as error:
        raise SuiteError(
            f"the database {source} cannot be cloned: {', '.join(_connected(keeper, source))} connected to it",
            hint="let envkit apply the migrations (`migrations:` of a service): it keeps a template to clone",
        ) from error
    except library.Error as error:
        raise SuiteError(f"the database {source} cannot be cloned: {error}") from error


def _locked_clone(keeper: Connection[Any], source: str, name: str) -> None:
    from psycopg import sql

    keeper.execute("SELECT pg_advisory_lock(%s)", [CLONING])
    try:
        keeper.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source)))
    finally:
        keeper.execute("SELECT pg_advisory_unlock(%s)", [CLONING])


def _drop(keeper: Connection[Any], name: str) -> None:
    from psycopg import sql

    keeper.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _connected(keeper: Connection[Any], name: str) -> list[str]:
    rows = keeper.execute(
        "SELECT coalesce(nullif(application_name, ''), 'pid ' || pid) FROM pg_stat_activity WHERE datname = %s", [name]
    )
    return sorted({str(row[0]) for row in rows}) or ["no client now"]


def _one(keeper: Connection[Any], statement: str, *parameters: object) -> int:
    row = keeper.execute(statement, parameters).fetchone()
    return int(row[0]) if row else 0
