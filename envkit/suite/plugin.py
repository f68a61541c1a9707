"""The pytest fixtures. With pytest-xdist, one worker does work that a suite needs only once; the other workers wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envkit.suite import audit, database, metrics, namespaces, redis
from envkit.suite.environment import Environment
from envkit.suite.once import once
from envkit.suite.tokens import Tokens

if TYPE_CHECKING:
    from redis import Redis

    from envkit.drivers.clusters.api import Api

LOST, USES = pytest.StashKey[list[str]](), pytest.StashKey[list[redis.Use]]()
OUTPUT = "envkit_suite"
"""The key of pytest-xdist's worker output under which a worker sends its results to the controller."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's settings to pytest's settings."""
    words = "empty the environment's Redis once, before the first test that uses envkit_redis"
    parser.addini("envkit_redis_flush", words, type="bool", default=True)


def pytest_configure(config: pytest.Config) -> None:
    """Create empty lists for lost audit events and for Redis' memory use."""
    config.stash[LOST], config.stash[USES] = [], []


# Fixtures


@pytest.fixture(scope="session")
def envkit_environment() -> Environment:
    """The variables of the environment by name. A missing variable is an error that names it; there are no defaults."""
    return Environment()


@pytest.fixture(scope="session")
def envkit_admin(envkit_environment: Environment) -> Api:
    """A small client of the API server with the administrator's rights; each worker has one."""
    return envkit_environment.kubernetes()


@pytest.fixture
def envkit_namespace(envkit_admin: Api) -> Iterator[str]:
    """The name of a new, Active namespace for this test. Its deletion is requested after the test, without a wait."""
    with namespaces.namespace(api=envkit_admin) as name:
        yield name


@pytest.fixture(scope="session")
def envkit_tokens(envkit_environment: Environment) -> Tokens:
    """The tokens: `.authorized`, `.unauthorized`, or by variable (`["NAME"]`). Read a token again for each request."""
    return Tokens(envkit_environment)


@pytest.fixture(scope="session")
def envkit_redis_client(
    envkit_environment: Environment, envkit_shared_folder: Path, pytestconfig: pytest.Config
) -> Iterator[Redis]:
    """The client that `envkit_redis` returns, one per worker."""
    client = redis.connect(envkit_environment)
    try:
        if pytestconfig.getini("envkit_redis_flush"):
            once(envkit_shared_folder, "redis-flush", lambda: redis.flush(client, envkit_environment))
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module")
def envkit_redis(envkit_redis_client: Redis, request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A client of Redis. envkit flushes Redis once before the suite, and the report shows Redis' memory by module."""
    before = redis.Memory.of(envkit_redis_client)
    yield envkit_redis_client
    use = redis.Use(request.node.nodeid, _worker(request.config), before, redis.Memory.of(envkit_redis_client))
    request.config.stash[USES].append(use)


@pytest.fixture(scope="session")
def envkit_database(envkit_environment: Environment, pytestconfig: pytest.Config) -> Iterator[database.Database]:
    """A database for this worker, with the result of the migrations and no other data."""
    with database.database(envkit_environment, _worker(pytestconfig)) as made:
        yield made


@pytest.fixture(scope="session")
def envkit_audit(envkit_environment: Environment) -> audit.AuditStore:
    """The audit store of this process. It sends all events before the run ends; the run fails if an event was lost."""
    return audit.shared(envkit_environment)


@pytest.fixture
def envkit_metrics() -> Iterator[metrics.Registries]:
    """A Prometheus registry for this test. During the test, `safe_register` uses it."""
    with metrics.SHARED.testing() as registries:
        yield registries


@pytest.fixture(scope="session")
def envkit_shared_folder(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """A folder that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if _worker(pytestconfig) else base) / "envkit"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def envkit_once(envkit_shared_folder: Path) -> Callable[[str, Callable[[], str]], str]:
    """The function `envkit_once(name, work)`: one worker runs `work`, the others wait, and all get the result."""
    return lambda name, work: once(envkit_shared_folder, name, work)


# The end of the run


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close the audit store and fail the run if an event was lost. A worker sends its results to the controller."""
    config = session.config
    worker = _worker(config)
    config.stash[LOST] += [f"{lost}{f' ({worker})' if worker else ''}" for lost in audit.close_shared()]
    if worker:
        uses = [use.plain() for use in config.stash[USES]]
        config.workeroutput[OUTPUT] = {"lost": config.stash[LOST], "uses": uses}  # type: ignore[attr-defined]  # xdist adds it
    if config.stash[LOST] and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:  # noqa: ARG001  pytest fixes the names of a hook's arguments
    """Add the results of a worker to the results of the controller."""
    found = getattr(node, "workeroutput", {}).get(OUTPUT) or {"lost": [], "uses": []}
    node.config.stash[LOST] += found["lost"]
    node.config.stash[USES] += [redis.Use.read(plain) for plain in found["uses"]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print Redis' memory use by module, and the lost audit events."""
    uses, lost = config.stash[USES], config.stash[LOST]
    if uses:
        last = max(uses, key=lambda use: use.after.peak).after
        limit = f"{redis.mib(last.limit)} MiB" if last.limit else "none"
        terminalreporter.section(f"Redis' memory: peak {redis.mib(last.peak)} MiB, limit {limit}", sep="-")
        for line in redis.lines(uses):
            terminalreporter.line(line)
    if lost:
        terminalreporter.section(f"{len(lost)} audit events were LOST: the run has failed", sep="=", red=True)
        for line in lost[:50]:
            terminalreporter.line(line)


def _worker(config: pytest.Config) -> str:
    """Return pytest-xdist's name of this worker, or an empty string without xdist."""
    return str(getattr(config, "workerinput", {}).get("workerid", ""))
