"""A database of one's own for each worker, cloned from the migrated one; gone afterwards, also after a crash."""

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
"""Of every database made here: what has it and no living owner is dropped."""

MAINTENANCE = "postgres"
"""Where CREATE and DROP DATABASE are said from, and where locks live; every PostgreSQL has it."""

SECONDS = 30.0
CONNECT_SECONDS = 5
CLONING = 0x656E766B6974
"""The advisory lock under which one clones at a time."""


@dataclass(frozen=True)
class Database:
    """One worker's database."""

    name: str
    url: str

    def connect(self, **options: Any) -> Connection[Any]:
        """A connection (psycopg's); close it, or use it in a `with`."""
        library = needed("psycopg", "envkit_database")
        found: Connection[Any] = library.connect(self.url, **{"connect_timeout": CONNECT_SECONDS, **options})
        return found


@contextmanager
def database(environment: Environment | None = None, worker: str = "") -> Iterator[Database]:
    """A database with everything that the migrations made, and nothing else; dropped at the end.

    What earlier runs left is dropped first: every owner holds a lock that dies with it. Raises `SuiteError`.
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
    """Drop databases of suites whose owners are gone; their names."""
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
    """The same server and login, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextmanager
def _maintaining(library: Any, url: str) -> Iterator[Connection[Any]]:
    try:
        connection = library.connect(at(url, MAINTENANCE), autocommit=True, connect_timeout=CONNECT_SECONDS)
    except library.Error as error:
        raise SuiteError(f"no database can be made: {error}", hint="`envkit status` shows PostgreSQL") from error
    try:
        connection.execute(f"SET statement_timeout = {int(SECONDS * 1000)}")
        yield connection
    finally:
        connection.close()


def _source(keeper: Connection[Any], database: str) -> str:
    """The template, which nobody is connected to; else the database itself."""
    template = template_of(database)
    there = _one(keeper, "SELECT count(*) FROM pg_database WHERE datname = %s", template)
    return template if there else database


def _clone(keeper: Connection[Any], source: str, name: str) -> None:
    """CREATE DATABASE, again while somebody is connected to the source. Raises `SuiteError` saying who it is."""
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
    return sorted({str(row[0]) for row in rows}) or ["nobody now"]


def _one(keeper: Connection[Any], statement: str, *parameters: object) -> int:
    row = keeper.execute(statement, parameters).fetchone()
    return int(row[0]) if row else 0
