"""The preset `postgres`: a database tuned for tests."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from envkit.config import rights
from envkit.config.fields import one_or_many
from envkit.config.models import Model, Text
from envkit.config.presets import Preset

Extension = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$")]
Extensions = Annotated[
    tuple[Extension, ...], BeforeValidator(one_or_many, json_schema_input_type=str | tuple[str, ...])
]


class PostgresOptions(Model):
    """Options of `postgres`: the login, the database and its rights; with `durable` data survive a machine crash."""

    user: Text = Field(default="test", description="user that owns the database")
    password: Text = Field(default="test_password", description="password of that user")
    database: Text = Field(default="test", description="database that is created at the first start")
    durable: bool = Field(default=False, description="`true` keeps fsync on")
    extensions: Extensions = Field(
        default=(), description="extensions to create that need a superuser; the user can create trusted ones itself"
    )
    superuser: bool = Field(
        default=False, description="`true` makes the user a superuser, who may run programs and read files"
    )


def postgres(options: PostgresOptions) -> dict[str, Any]:
    """Return a PostgreSQL service tuned for tests, with its data on the image's anonymous volume."""
    fast = ["postgres", "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    place = ["-D", "${self.data}", "-h", "${self.listen}", "-p", "${self.port}", "-c", "unix_socket_directories="]
    place += ["-c", "dynamic_shared_memory_type=mmap"]  # without it, a killed server would leave files in /dev/shm
    user, password, database = (f"${{self.env.POSTGRES_{part}|url}}" for part in ("USER", "PASSWORD", "DB"))
    return {
        "image": "docker.io/library/postgres:16-alpine",
        **({} if options.durable else {"command": fast}),
        "process": {
            "supply": "postgres",
            "command": [*(["postgres"] if options.durable else fast), *place],
            "stop_signal": "INT",  # fast shutdown; TERM would wait for every client to leave
        },
        "env": {
            "POSTGRES_USER": options.user,
            "POSTGRES_PASSWORD": options.password,
            "POSTGRES_DB": options.database,
            **({rights.EXTENSIONS: " ".join(options.extensions)} if options.extensions else {}),
            **rights.everything(options.superuser),
        },
        "files": rights.before("initdb"),
        "shm": "256MiB",
        "data": True,
        "ports": {"postgres": {"container": 5432}},
        "probe": {
            "type": "postgres",
            "port": "postgres",
            "user": "${self.env.POSTGRES_USER}",
            "password": "${self.env.POSTGRES_PASSWORD}",
            "database": "${self.env.POSTGRES_DB}",
            **({} if options.superuser else {"superuser": False}),
        },
        "exports": {
            "POSTGRES_HOST": "${self.host}",
            "POSTGRES_PORT": "${self.port}",
            "POSTGRES_USER": "${self.env.POSTGRES_USER}",
            "POSTGRES_PASSWORD": "${self.env.POSTGRES_PASSWORD}",
            "POSTGRES_DB": "${self.env.POSTGRES_DB}",
            # Go's lib/pq requires TLS unless the URL disables it.
            "DATABASE_URL": f"postgresql://{user}:{password}@${{self.address}}/{database}?sslmode=disable",
        },
    }


PRESET = Preset(PostgresOptions, postgres)
