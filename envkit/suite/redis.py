"""Redis for a test suite: checks that the server belongs to this environment, flushes it, and reports its memory."""

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
"""Time limit of one command."""

DRAIN_SECONDS = 15.0
"""Seconds for DataStorage to write its dead-letter queue, which is in Redis, to the database."""

MARKER = "syslog-ident"
"""The Redis setting that has the environment's marker. envkit's preset starts the server with it.

The setting is free text and has no other use here. CONFIG GET returns it, CONFIG SET cannot change it, and FLUSHALL
keeps it.
"""


def connect(environment: Environment | None = None, **options: Any) -> Redis:
    """Return a client of the environment's Redis. Each command has a time limit of 5 s, or the limit in `options`."""
    library = needed("redis", "envkit_redis")
    bounds = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS, "health_check_interval": 30}
    client: Redis = library.Redis.from_url((environment or Environment()).redis_url, **{**bounds, **options})
    return client


def flush(client: Redis, environment: Environment | None = None) -> str:
    """Wait until DataStorage's queue is empty, then flush the server; return a text about the removed keys and bytes.

    Raises `SuiteError` if the server does not have this environment's marker, or if the queue does not become empty.
    """
    environment = environment or Environment()
    whose = marker(client)
    expected = f"envkit:{environment.name}"
    if whose != expected:
        raise SuiteError(
            f"{environment.redis_url} is not flushed: it does not belong to this environment "
            f"(its marker is {whose!r}, expected {expected!r})",
            hint="let REDIS_URL name the environment's Redis; or set `envkit_redis_flush = false` in pytest's settings",
        )
    _drained(environment)
    before = Memory.of(client)
    client.flushall()
    return f"{before.keys} keys, {before.used} bytes before"


def marker(client: Redis) -> str:
    """Return the server's marker, or an empty string if the server refuses to return it."""
    from redis.exceptions import ResponseError

    try:
        found: Any = client.config_get(MARKER)
    except ResponseError:
        return ""
    return str(found.get(MARKER) or found.get(MARKER.encode(), b"") or "")


def _drained(environment: Environment) -> None:
    """Wait until DataStorage's queue is empty: a flush would lose its events. Raises `SuiteError` after 15 s."""
    if "TEST_DATA_STORAGE_HEALTH_URL" not in environment:
        return
    import urllib3

    from envkit.base.deadline_urllib3 import bounded

    url = f"{environment.data_storage_health_url}/drained"
    pool = bounded(urllib3.PoolManager(), lambda: Deadline(SECONDS))

    def empty() -> bool:
        answer = pool.request("GET", url, timeout=SECONDS, retries=False)
        if answer.status == 404:
            return True  # the service is not envkit's reference DataStorage, which alone has this endpoint
        assert answer.status == 200, f"{url}: {answer.status} {answer.data[:200]!r}"
        return True

    try:
        what = "DataStorage's dead-letter queue empty"
        eventually(empty, what=what, seconds=DRAIN_SECONDS, tries_again=(AssertionError, urllib3.exceptions.HTTPError))
    except NotWithin as error:
        raise SuiteError(f"Redis is not flushed: {error}", hint="`envkit logs datastorage` shows the reason") from error


@dataclass(frozen=True)
class Memory:
    """Memory of the whole server in bytes, and numbers of evicted and stored keys, with the keys of all workers."""

    used: int
    peak: int
    limit: int
    evicted: int
    keys: int

    @classmethod
    def of(cls, client: Redis) -> Memory:
        """Return the server's current values."""
        info: Any = client.info("all")
        keys = sum(int(one["keys"]) for name, one in info.items() if name.startswith("db") and isinstance(one, dict))
        return cls(
            int(info["used_memory"]), int(info["used_memory_peak"]), int(info["maxmemory"]), int(info["evicted_keys"]),
            keys,
        )  # fmt: skip


@dataclass(frozen=True)
class Use:
    """Redis' memory before and after the tests of one module in one worker."""

    module: str
    worker: str
    before: Memory
    after: Memory

    def plain(self) -> dict[str, Any]:
        """Return a dictionary of plain values, which pytest-xdist can send."""
        return asdict(self)

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Use:
        """Return the `Use` from which `plain` was made."""
        return cls(plain["module"], plain["worker"], Memory(**plain["before"]), Memory(**plain["after"]))


def lines(uses: Sequence[Use]) -> Iterator[str]:
    """Yield one line for each module for the report; the line covers all workers that ran the module's tests."""
    for module in sorted({use.module for use in uses}):
        own = [use for use in uses if use.module == module]
        first, last = min(use.before.used for use in own), max(use.after.used for use in own)
        evicted = max(use.after.evicted for use in own) - min(use.before.evicted for use in own)
        said = f", {evicted} keys EVICTED meanwhile" if evicted else ""
        yield f"{module}: {mib(first)} -> {mib(last)} MiB{said}"


def mib(size: int) -> str:
    """Return bytes as MiB with one decimal."""
    return f"{size / 2**20:.1f}"
