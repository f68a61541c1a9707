"""Redis for a suite: emptied once before it, and only when it is this environment's; its memory told by module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from envkit.base.deadline import Deadline
from envkit.base.errors import SuiteError
from envkit.suite.environment import Environment
from envkit.suite.eventually import NotWithin, eventually
from envkit.suite.libraries import needed

if TYPE_CHECKING:
    from redis import Redis

SECONDS = 5.0
"""For one command."""

DRAIN_SECONDS = 15.0
"""For DataStorage's dead-letter queue, which lives in Redis, to be written to the database."""

MARKER = "syslog-ident"
"""The setting that carries the environment's marker (envkit's preset starts the server with it): free text that nothing
else uses, told by CONFIG GET, fixed for the server's life, and out of FLUSHALL's reach."""


def connect(environment: Environment | None = None, **options: Any) -> Redis:
    """A client of the environment's Redis, every command bound by 5 s unless `options` say otherwise."""
    library = needed("redis", "envkit_redis")
    bounds = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS, "health_check_interval": 30}
    client: Redis = library.Redis.from_url((environment or Environment()).redis_url, **{**bounds, **options})
    return client


def flush(client: Redis, environment: Environment | None = None) -> str:
    """Empty the server, after DataStorage's queue in it has drained; what was removed, in words.

    Raises `SuiteError` when the server does not carry this environment's marker, or the queue does not drain.
    """
    environment = environment or Environment()
    whose = marker(client)
    expected = f"envkit:{environment.name}"
    if whose != expected:
        raise SuiteError(
            f"{environment.redis_url} is not flushed: it is not this environment's "
            f"(its marker is {whose!r}, expected {expected!r})",
            hint="let REDIS_URL name the environment's Redis; or set `envkit_redis_flush = false` in pytest's settings",
        )
    _drained(environment)
    before = Memory.of(client)
    client.flushall()
    return f"{before.keys} keys, {before.used} bytes before"


def marker(client: Redis) -> str:
    """The server's marker; empty where the server does not tell."""
    from redis.exceptions import ResponseError

    try:
        found: Any = client.config_get(MARKER)
    except ResponseError:
        return ""
    return str(found.get(MARKER) or found.get(MARKER.encode(), b"") or "")


def _drained(environment: Environment) -> None:
    """Flushing a queue that still holds events would lose them."""
    if "TEST_DATA_STORAGE_HEALTH_URL" not in environment:
        return
    import urllib3

    from envkit.base.deadline_urllib3 import bounded

    url = f"{environment.data_storage_health_url}/drained"
    pool = bounded(urllib3.PoolManager(), lambda: Deadline(SECONDS))

    def empty() -> bool:
        answer = pool.request("GET", url, timeout=SECONDS, retries=False)
        if answer.status == 404:
            return True  # another DataStorage than envkit's does not tell
        assert answer.status == 200, f"{url}: {answer.status} {answer.data[:200]!r}"
        return True

    try:
        what = "DataStorage's dead-letter queue empty"
        eventually(empty, what=what, seconds=DRAIN_SECONDS, tries_again=(AssertionError, urllib3.exceptions.HTTPError))
    except NotWithin as error:
        raise SuiteError(f"Redis is not flushed: {error}", hint="`envkit logs datastorage` says why") from error


@dataclass(frozen=True)
class Memory:
    """What the whole server holds, bytes; other workers' keys among it."""

    used: int
    peak: int
    limit: int
    evicted: int
    keys: int

    @classmethod
    def of(cls, client: Redis) -> Memory:
        """As it is now."""
        info: Any = client.info("all")
        keys = sum(int(one["keys"]) for name, one in info.items() if name.startswith("db") and isinstance(one, dict))
        return cls(
            int(info["used_memory"]), int(info["used_memory_peak"]), int(info["maxmemory"]), int(info["evicted_keys"]),
            keys,
        )  # fmt: skip


@dataclass(frozen=True)
class Use:
    """One module's time with Redis."""

    module: str
    worker: str
    before: Memory
    after: Memory

    def plain(self) -> dict[str, Any]:
        """As pytest-xdist can send it."""
        return asdict(self)

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Use:
        """Back from `plain`."""
        return cls(plain["module"], plain["worker"], Memory(**plain["before"]), Memory(**plain["after"]))


def lines(uses: Sequence[Use]) -> Iterator[str]:
    """For the report: each module once, over all workers that ran tests of it."""
    for module in sorted({use.module for use in uses}):
        own = [use for use in uses if use.module == module]
        first, last = min(use.before.used for use in own), max(use.after.used for use in own)
        evicted = max(use.after.evicted for use in own) - min(use.before.evicted for use in own)
        said = f", {evicted} keys EVICTED meanwhile" if evicted else ""
        yield f"{module}: {mib(first)} -> {mib(last)} MiB{said}"


def mib(size: int) -> str:
    """Bytes as MiB."""
    return f"{size / 2**20:.1f}"
