"""What ready means, as data; `envkit.drivers.probes` asks it."""

from typing import Annotated, Literal

from pydantic import Field

from envkit.config.fields import Command, Model, Text
from envkit.config.names import HEADER, HTTP_PATH
from envkit.config.units import Size

Header = Annotated[str, Field(pattern=HEADER)]
Path = Annotated[str, Field(pattern=HTTP_PATH)]


class HttpProbe(Model):
    """Satisfied by `status` at http://127.0.0.1:PORT/path."""

    type: Literal["http"]
    port: str = Field(default="", description="name of the port; the first one when empty")
    path: Path = "/"
    status: int = Field(default=200, ge=100, le=599)
    headers: dict[Header, Text] = {}
    scheme: Literal["http", "https"] = "http"


class TcpProbe(Model):
    """Satisfied by an accepted connection. Weak: a published port accepts before the process behind it listens."""

    type: Literal["tcp"]
    port: str = ""


class RedisProbe(Model):
    """Satisfied when PING is answered and the running server has the size, policy and allocator it should have."""

    type: Literal["redis"]
    port: str = ""
    password: Text = ""
    maxmemory: Size | None = None
    policy: str | None = None
    decay: bool = Field(default=False, description="expect jemalloc to return freed memory at once")
    limited: bool = Field(default=False, description="expect CONFIG SET of the folder to be refused")


class PostgresProbe(Model):
    """Satisfied when a query is answered over TCP from the host."""

    type: Literal["postgres"]
    port: str = ""
    user: Text
    password: Text
    database: Text
    query: str = "SELECT 1"
    superuser: bool | None = Field(default=None, description="whether the user is expected to be a superuser")


class ExecProbe(Model):
    """Satisfied when the command, run inside the container, ends with 0."""

    type: Literal["exec"]
    command: Command


class CommandProbe(Model):
    """Satisfied when the command, run on the host, ends with 0."""

    type: Literal["command"]
    command: Command


class AuditProbe(Model):
    """Satisfied when an audit event was written and read back as a client would; used once, at creation."""

    type: Literal["audit"]
    port: str = ""
    path: Path = "/api/v1/audit/events"
    scheme: Literal["http", "https"] = "http"
    token: Text = Field(default="", description="sent as bearer token: `${identity.NAME.token}`")


Probe = Annotated[
    HttpProbe | TcpProbe | RedisProbe | PostgresProbe | ExecProbe | CommandProbe | AuditProbe,
    Field(discriminator="type"),
]
