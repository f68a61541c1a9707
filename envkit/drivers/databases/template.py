"""Keeps a copy of the migrated database without connections; tests clone their databases from it.

PostgreSQL cannot copy a database that has connections, and a running service keeps connections to its database.
So envkit makes the copy after the migrations, before it starts the services that need the database.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envkit.base.deadline import Deadline
    from envkit.drivers.databases.login import Login

MAINTENANCE = "postgres"
"""A database that every server has; envkit connects to it to run CREATE DATABASE."""


def template_of(database: str) -> str:
    """Return the copy's name. It has only 47 letters of the database's name, because PostgreSQL allows 63 bytes."""
    return f"{database[:47]}_envkit_template"


def keep(
    folder: Path, login: Login, host: str, port: int, end: Deadline, report: Callable[[str], None],
    *, fresh: bool,
) -> None:  # fmt: skip
    """Create the copy if it is missing and the database is `fresh`; apply the folder's migrations to an existing copy.

    It does not raise errors of the database or of the migrations, but passes them to `report`, so that `up` can go on
    without the copy. A suite that needs the copy gets an error later.
    """
    from envkit.base.errors import EnvkitError
    from envkit.drivers.databases.migrations import migrate
    from envkit.drivers.databases.sql import SqlError, connect

    name = template_of(login.database)
    try:
        with connect(login.at(MAINTENANCE), host, port, end) as connection:
            there = connection.run("SELECT 1 FROM pg_database WHERE datname = :name", name=name)
            if not there and fresh:
                connection.run(f"CREATE DATABASE {_quoted(name)} TEMPLATE {_quoted(login.database)}")
        if there:
            migrate(folder, login.at(name), host, port, end, report)
    except (SqlError, EnvkitError) as error:
        report(f"no database for suites to clone: {error}")


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
