"""Fixtures: real servers once per session; for each test its own database, an empty queue and services."""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envkit.datastorage.settings import Settings

from . import binaries
from .migrations import apply_migrations
from .servers import Postgres, Redis, remove
from .services import Spawned, Threaded

NUMBER = itertools.count(1)
Start = Callable[..., Threaded]
Spawn = Callable[..., Spawned]


@pytest.fixture(scope="session")
def workdir() -> Iterator[Path]:
    """A folder that the user of the servers can read."""
    folder = Path(tempfile.mkdtemp(prefix="envkit-datastorage-"))
    folder.chmod(0o755)
    yield folder
    remove(folder)


@pytest.fixture(scope="session")
def server_binaries() -> binaries.Binaries:
    return binaries.find()


@pytest.fixture(scope="session")
def postgres_server(server_binaries: binaries.Binaries, workdir: Path) -> Iterator[Postgres]:
    server = Postgres(server_binaries, workdir / "postgres")
    server.start()
    server.execute("CREATE DATABASE migrated")
    apply_migrations(server, "migrated")
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis_server(server_binaries: binaries.Binaries, workdir: Path) -> Iterator[Redis]:
    server = Redis(server_binaries, workdir / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[Postgres]:
    """A running PostgreSQL. After the test it is started again if the test stopped it."""
    yield postgres_server
    postgres_server.resume()
    postgres_server.start()


@pytest.fixture
def redis_queue(redis_server: Redis) -> Iterator[Redis]:
    """An empty, running Redis. After the test it is started again if the test stopped it."""
    with redis_server.client() as client:
        client.flushall()
        client.config_set("maxmemory", 0)
    yield redis_server
    redis_server.resume()
    redis_server.start()


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The name of a migrated, empty database."""
    name = f"test_{next(NUMBER)}"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE migrated")
    yield name
    postgres.resume()
    postgres.start()
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def environment(postgres: Postgres, redis_queue: Redis, database: str) -> dict[str, str]:
    """The variables that a service needs, with port 0 for free ports."""
    ports = {"HOST": "127.0.0.1", "PORT": "0", "HEALTH_PORT": "0", "METRICS_PORT": "0"}
    return {"DATABASE_URL": postgres.url(database), "REDIS_URL": redis_queue.url, **ports, "DRAIN_INTERVAL": "0.05"}


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """A function that starts a service in this process; its keywords change settings."""
    started: list[Threaded] = []

    def start_one(*, ready: bool = True, **changes: object) -> Threaded:
        values = {name.lower(): value for name, value in environment.items()} | changes
        started.append(Threaded(Settings.model_validate(values)))
        if ready:
            started[-1].wait_until_ready()
        return started[-1]

    yield start_one
    for service in started:
        service.stop()


@pytest.fixture
def spawn(environment: dict[str, str]) -> Iterator[Spawn]:
    """A function that starts a service as a process; its keywords change environment variables."""
    spawned: list[Spawned] = []

    def spawn_one(*, ready: bool = True, **changes: str) -> Spawned:
        spawned.append(Spawned(environment | changes))
        if ready:
            spawned[-1].wait_until_ready()
        return spawned[-1]

    yield spawn_one
    for service in spawned:
        service.stop()


@pytest.fixture
def service(start: Start) -> Threaded:
    """A ready service."""
    return start()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("CONFIG_PATH", raising=False)
    assert "DATABASE_URL" not in os.environ
