"""The probe `postgres`: the server must answer a query over TCP."""

from typing import ClassVar, Literal, Self

from pydantic import Field

from envkit.config.fields import Text
from envkit.config.probes import ProbeModel, Target
from envkit.drivers.probes import LIMITED


class PostgresProbe(ProbeModel):
    """Passes if the server answers a query that the host sends over TCP."""

    costly: ClassVar[bool] = True
    takes_migrations: ClassVar[bool] = True
    type: Literal["postgres"] = Field(description="the kind of probe")
    port: str = Field(default="", description="name of the port; if empty, the service's first port")
    user: Text = Field(description="role that logs in")
    password: Text = Field(description="password of the role")
    database: Text = Field(description="database to log in to")
    query: str = Field(default="SELECT 1", description="query that must succeed; its result does not matter")
    superuser: bool | None = Field(default=None, description="whether the user is expected to be a superuser")

    def attempt(self, target: Target) -> str | None:
        """Log in over TCP and run the query; return None if that succeeds, or else the reason.

        TCP excludes the temporary server that an image runs during initdb: that server listens on a unix socket only.
        """
        from envkit.drivers.databases import pgwire
        from envkit.drivers.databases.sql import SqlError, connect

        where = target.host, target.port(self.port), target.deadline()
        try:
            try:
                superuser = pgwire.ask(self, *where)
            except pgwire.Unsupported:
                with connect(self, *where) as connection:
                    superuser = (connection.run("SHOW is_superuser") or [["off"]])[0][0] == "on"
                    connection.run(self.query)
        except SqlError as error:
            return f"no answer: {error}"
        if self.superuser in (None, superuser):
            return None
        return f"{self.user} is a superuser: {LIMITED}" if superuser else f"{self.user} is no superuser, expected one"

    def at(self, database: str) -> Self:
        """Return the same login to another database of the server."""
        return self.model_copy(update={"database": database})

    def describe(self, target: Target) -> str:
        """Return what the probe expects, for the message of a failed wait."""
        return f"an answer to {self.query!r} on {target.host}:{target.port(self.port)}/{self.database}"


PROBE = PostgresProbe
