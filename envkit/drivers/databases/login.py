"""The login to PostgreSQL: user, password and database."""

from __future__ import annotations

from typing import Protocol


class Login(Protocol):
    """A user, the user's password and a database; the probe `postgres` has these fields."""

    @property
    def user(self) -> str:
        """The name of the PostgreSQL role."""

    @property
    def password(self) -> str:
        """The password of the role."""

    @property
    def database(self) -> str:
        """The database to log in to."""

    @property
    def query(self) -> str:
        """The statement that a probe sends."""

    def at(self, database: str) -> Login:
        """Return the same login to another database of the server."""
