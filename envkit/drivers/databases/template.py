"""A copy of the migrated database that nobody connects to: what tests clone their own from.

PostgreSQL copies no database that has connections, and a service holds some to the migrated one for as long as it runs.
So the copy is made in the moment between the migrations and the services that need them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envkit.base.deadline import Deadline
    from envkit.drivers.databases.login import Login

MAINTENANCE = "postgres"
"""The database that every server has, and that a CREATE DATABASE can be said from."""


def template_of(database: str) -> str:
    """The copy's name; names of databases have 63 bytes at the most."""
    return f"{database[:47]}_envkit_template"


def keep(
    folder: Path, login: Login, host: str, port: int, end: Deadline, report: Callable[[str], None],
    *, fresh: bool,
) -> None:  # fmt: skip
    """Bring the copy to the folder's state: made when the database itself is `fresh`, otherwise migrated like it.

    Never the reason why an environment fails: what is wrong is reported, and the suite that asks for a copy is told.
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
