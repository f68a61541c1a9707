"""The fixtures. Safe with pytest-xdist: what is done once for a suite is done by one worker while the others wait."""

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
"""The key under which a worker's findings go to the controller."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Settings of the suite's own."""
    words = "empty the environment's Redis once, before the first test that uses envkit_redis"
    parser.addini("envkit_redis_flush", words, type="bool", default=True)


def pytest_configure(config: pytest.Config) -> None:
    """Nothing has been found yet."""
    config.stash[LOST], config.stash[USES] = [], []


# Fixtures


@pytest.fixture(scope="session")
def envkit_environment() -> Environment:
    """The environment's variables by name; one that is missing is an error that names it, never a default."""
    return Environment()


@pytest.fixture(scope="session")
def envkit_admin(envkit_environment: Environment) -> Api:
    """The API server as the administrator: a light client, one for each worker."""
    return envkit_environment.kubernetes()


@pytest.fixture
def envkit_namespace(envkit_admin: Api) -> Iterator[str]:
    """The name of a namespace of the test's own, Active; deleted afterwards, without waiting."""
    with namespaces.namespace(api=envkit_admin) as name:
        yield name


@pytest.fixture(scope="session")
def envkit_tokens(envkit_environment: Environment) -> Tokens:
    """`.authorized`, `.unauthorized` and any other exported token by its variable; ask anew for each request."""
    return Tokens(envkit_environment)


@pytest.fixture(scope="session")
def envkit_redis_client(
    envkit_environment: Environment, envkit_shared_folder: Path, pytestconfig: pytest.Config
) -> Iterator[Redis]:
    """The client behind `envkit_redis`."""
    client = redis.connect(envkit_environment)
    try:
        if pytestconfig.getini("envkit_redis_flush"):
            once(envkit_shared_folder, "redis-flush", lambda: redis.flush(client, envkit_environment))
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module")
def envkit_redis(envkit_redis_client: Redis, request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A client of Redis, flushed once before the suite; the report shows its memory by module."""
    before = redis.Memory.of(envkit_redis_client)
    yield envkit_redis_client
    use = redis.Use(request.node.nodeid, _worker(request.config), before, redis.Memory.of(envkit_redis_client))
    request.config.stash[USES].append(use)


@pytest.fixture(scope="session")
def envkit_database(envkit_environment: Environment, pytestconfig: pytest.Config) -> Iterator[database.Database]:
    """A database of this worker's own, as the migrations left it."""
    with database.database(envkit_environment, _worker(pytestconfig)) as made:
        yield made


@pytest.fixture(scope="session")
def envkit_audit(envkit_environment: Environment) -> audit.AuditStore:
    """The process' audit store; drained at the end of the run, which fails when an event was lost."""
    return audit.shared(envkit_environment)


@pytest.fixture
def envkit_metrics() -> Iterator[metrics.Registries]:
    """A Prometheus registry of the test's own; meanwhile `safe_register` registers there."""
    with metrics.SHARED.testing() as registries:
        yield registries


@pytest.fixture(scope="session")
def envkit_shared_folder(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """A folder of this run that all its workers share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if _worker(pytestconfig) else base) / "envkit"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def envkit_once(envkit_shared_folder: Path) -> Callable[[str, Callable[[], str]], str]:
    """`envkit_once(name, work)`: the result of `work`, done by one worker of the run while the others wait for it."""
    return lambda name, work: once(envkit_shared_folder, name, work)


# The end of the run


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Drain the audit store; a run that lost an event has failed. Workers tell the controller."""
    config = session.config
    worker = _worker(config)
    config.stash[LOST] += [f"{lost}{f' ({worker})' if worker else ''}" for lost in audit.close_shared()]
    if worker:
        uses = [use.plain() for use in config.stash[USES]]
        config.workeroutput[OUTPUT] = {"lost": config.stash[LOST], "uses": uses}  # type: ignore[attr-defined]  # xdist adds it
    if config.stash[LOST] and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:  # noqa: ARG001  the hook's words
    """The controller hears what a worker found."""
    found = getattr(node, "workeroutput", {}).get(OUTPUT) or {"lost": [], "uses": []}
    node.config.stash[LOST] += found["lost"]
    node.config.stash[USES] += [redis.Use.read(plain) for plain in found["uses"]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Redis' memory by module, and every audit event that was lost."""
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
    """pytest-xdist's name of this process; empty without it."""
    return str(getattr(config, "workerinput", {}).get("workerid", ""))
