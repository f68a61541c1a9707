"""How to log in to PostgreSQL."""

from __future__ import annotations

from typing import Protocol


class Login(Protocol):
    """A user, its password and a database; the probe `postgres` is one."""

    @property
    def user(self) -> str:
        """The role."""

    @property
    def password(self) -> str:
        """Its password."""

    @property
    def database(self) -> str:
        """The database to log in to."""

    @property
    def query(self) -> str:
        """A statement that a probe has answered."""

    def at(self, database: str) -> Login:
        """Return the same login to another database of the server."""
