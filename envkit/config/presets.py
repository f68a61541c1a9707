"""redis, postgres and datastorage as data: functions from a preset's options to a service, as a user would write it.

The user's own keys are merged over the result. References (`${self.port}`) keep it right whatever they change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from envkit.config import rights
from envkit.config.fields import one_or_many
from envkit.config.models import Model, Text
from envkit.config.units import Size

GIB = 1024**3


class RedisOptions(Model):
    """How much data Redis holds, what it does when full, whether it asks for a password, and what clients may do."""

    maxmemory: Size = 2 * GIB
    policy: Literal[
        "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
        "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
    ] = "allkeys-lru"  # fmt: skip
    password: Text | None = None
    superuser: bool = Field(
        default=False, description="clients may load modules, set paths and use DEBUG; with Redis 6 also CONFIG SET"
    )


Extension = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$")]
Extensions = Annotated[
    tuple[Extension, ...], BeforeValidator(one_or_many, json_schema_input_type=str | tuple[str, ...])
]


class PostgresOptions(Model):
    """Who logs in where, and with which rights; `durable` keeps data through a crash of the machine."""

    user: Text = "slm_user"
    password: Text = "test_password"  # noqa: S105  the suites' documented default
    database: Text = "action_history"
    durable: bool = False
    extensions: Extensions = Field(
        default=(), description="that only a superuser may create; the user creates trusted ones itself"
    )
    superuser: bool = Field(default=False, description="the user is a superuser: it may run programs and read files")


class DataStorageOptions(Model):
    """What the image is built on, the services it stores in, and whether callers need a token."""

    base_image: str = "docker.io/library/python:3.12-slim"
    postgres: str = "postgres"
    redis: str = "redis"
    migrations: str = "migrate"
    auth: bool = False
    identity: str = "data-storage-sa"
    client: str = "gateway-integration-sa"


MEMORY_FOR_DATA = 2
"""Times `maxmemory`: 2 GiB of mixed 1 KB and 100 KB values peaked at 2.85 GiB even with jemalloc's decay at 0."""

MARKER = "envkit:${env.name}"
"""Whose Redis it is, in a setting that nothing else uses: told by CONFIG GET, out of FLUSHALL's reach, there after a
restart. A suite flushes only a server that carries its environment's.
"""

DECAY = "dirty_decay_ms:0,muzzy_decay_ms:0"
"""jemalloc gives freed memory back at once."""


def redis(options: RedisOptions) -> dict[str, Any]:
    """A cache without persistence that evicts at `maxmemory` and has room beyond it."""
    login = ":${self.env.REDISCLI_AUTH|url}@" if options.password else ""
    secret = {"REDISCLI_AUTH": options.password} if options.password else {}
    login_of_probe = {"password": "${self.env.REDISCLI_AUTH}"} if options.password else {}
    # Not on the command line, which every user of the machine may read.
    secrets = ["${self.root}/envkit/redis.conf"] if options.password else []
    # The image begins as root and goes on as a user of its own, who must be able to read it: mode 0644.
    text = "requirepass ${self.env.REDISCLI_AUTH|quoted}\n"
    files = {"/envkit/redis.conf": {"content": text, "mode": "0644"}} if secrets else {}
    command = [
        "redis-server", *secrets, "--maxmemory", str(options.maxmemory), "--maxmemory-policy", options.policy,
        "--save", "", "--appendonly", "no", "--syslog-ident", MARKER, "--bind", "${self.listen}",
    ]  # fmt: skip
    return {
        "image": "docker.io/library/redis:7-alpine",
        "command": command,
        "process": {"supply": "redis", "command": [*command, "--port", "${self.port}", "--dir", "${self.data}"]},
        "files": {**rights.before("redis-server"), **files},
        # The jemalloc inside redis' own images is built with the prefix je_; Debian's is not.
        "env": {"MALLOC_CONF": DECAY, "JE_MALLOC_CONF": DECAY, **secret, **rights.everything(options.superuser)},
        "memory": MEMORY_FOR_DATA * options.maxmemory,
        "data": True,
        "ports": {"redis": {"container": 6379}},
        "probe": {
            "type": "redis",
            "port": "redis",
            "maxmemory": options.maxmemory,
            "policy": options.policy,
            "decay": True,
            **login_of_probe,
        },
        **({} if options.superuser else {"first_probe": {"type": "redis", "limited": True, **login_of_probe}}),
        "exports": {
            "REDIS_URL": f"redis://{login}${{self.address}}/0",
            "REDIS_HOST": "${self.host}",
            "REDIS_PORT": "${self.port}",
            "REDIS_ADDR": "${self.address}",
            **({"REDIS_PASSWORD": "${self.env.REDISCLI_AUTH}"} if options.password else {}),
        },
    }


def postgres(options: PostgresOptions) -> dict[str, Any]:
    """A database tuned for tests, its data on the image's anonymous volume."""
    fast = ["postgres", "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    place = ["-D", "${self.data}", "-h", "${self.listen}", "-p", "${self.port}", "-c", "unix_socket_directories="]
    place += ["-c", "dynamic_shared_memory_type=mmap"]  # killed, it would leave its files in /dev/shm
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
            # Go's lib/pq insists on TLS unless told otherwise.
            "DATABASE_URL": f"postgresql://{user}:{password}@${{self.address}}/{database}?sslmode=disable",
        },
    }


def datastorage(options: DataStorageOptions) -> dict[str, Any]:
    """The reference audit service, built here; it reaches its stores by the addresses that they export."""
    needs = [options.postgres, options.redis, *([options.migrations] if options.migrations != "none" else [])]
    api, metrics, health = (f"http://${{self.host}}:${{self.ports.{port}}}" for port in ("api", "metrics", "health"))
    names = ("TEST_DATA_STORAGE", "DATA_STORAGE")
    urls = {"URL": api, "HEALTH_URL": health, "METRICS_URL": f"{metrics}/metrics"}
    auth = _auth(options) if options.auth else {}
    return {
        "build": {"context": "datastorage", "args": {"BASE_IMAGE": options.base_image}},
        "process": {
            "supply": "datastorage",
            "command": ["python3", "-m", "envkit.datastorage"],
            "env": {
                "HOST": "${self.listen}",
                "PORT": "${self.ports.api}",
                "HEALTH_PORT": "${self.ports.health}",
                "METRICS_PORT": "${self.ports.metrics}",
            },
        },
        "env": {
            "DATABASE_URL": f"${{{options.postgres}.exports.DATABASE_URL}}",
            "REDIS_URL": f"${{{options.redis}.exports.REDIS_URL}}",
            **auth.get("env", {}),
        },
        "ports": {"api": {"container": 8080}, "metrics": {"container": 9090}, "health": {"container": 8081}},
        "needs": [*needs, *auth.get("needs", [])],
        **auth.get("more", {}),
        "probe": {"type": "http", "port": "health", "path": "/readyz"},
        "first_probe": {"type": "audit", "port": "api", **auth.get("first_probe", {})},
        "exports": {f"{name}_{suffix}": url for name in names for suffix, url in urls.items()},
    }


def _auth(options: DataStorageOptions) -> dict[str, Any]:
    """What it needs to ask the API server who calls and whether they may, and the token that its proof calls with."""
    path = "/etc/datastorage/kubeconfig"
    env = {"AUTH_ENABLED": "true", "POD_NAMESPACE": "default", "KUBECONFIG": f"${{self.root}}{path}"}
    return {
        "env": env,
        "needs": ["cluster"],
        "more": {"kubeconfig": {"identity": options.identity, "path": path}},
        "first_probe": {"token": f"${{identity.{options.client}.token}}"},
    }


@dataclass(frozen=True)
class Preset:
    """The type of its options, and the function from them to a service."""

    options: type[Model]
    expand: Callable[[Any], dict[str, Any]]


PRESETS = {
    "redis": Preset(RedisOptions, redis),
    "postgres": Preset(PostgresOptions, postgres),
    "datastorage": Preset(DataStorageOptions, datastorage),
}


def expanded(preset: Preset, options: Any, own: dict[str, Any]) -> dict[str, Any]:
    """The preset's service, less the way to get an image that the user's own keys replace."""
    service = preset.expand(options)
    if own.get("image") or own.get("build"):
        for key in ("image", "build", "process"):
            service.pop(key, None)
    if own.get("host_command") or own.get("migrations"):
        service = {key: value for key, value in service.items() if key in ("exports", "needs")}
    return service
