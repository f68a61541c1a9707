"""The store Redis: reset, samples, client and report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from envkit.base.errors import EnvironmentFailed
from envkit.config.units import about
from envkit.drivers.databases import resp
from envkit.drivers.probes import ATTEMPT_SECONDS
from envkit.drivers.probes.redis import RedisProbe
from envkit.drivers.stores import Address, NoAnswer, Values, number

SECONDS = 5.0
"""Time limit for a reset, and for a report."""

NUMBERS = (
    "used_memory", "used_memory_peak", "maxmemory", "evicted_keys", "rejected_connections", "connected_clients",
    "uptime_in_seconds", "lazyfree_pending_objects",
)  # fmt: skip
"""Numeric fields of INFO that a sample has, if the server reports them."""

REPORTED = (
    ("INFO",), ("INFO", "commandstats"), ("INFO", "errorstats"), ("CLIENT", "LIST"), ("MEMORY", "DOCTOR"),
    ("LATENCY", "DOCTOR"),
)  # fmt: skip


@dataclass(frozen=True)
class Sampling:
    """Reads the numbers of a server; each call opens a new connection."""

    probe: RedisProbe
    address: Callable[[], Address]

    def __call__(self) -> Values:
        """Return the fields in `NUMBERS`, `refused_writes`, the memory policy, and `run_id`. Raises `NoAnswer`.

        `run_id` changes with each start of the server.
        """
        try:
            with resp.connect(*self.address(), self.probe.password, ATTEMPT_SECONDS) as client:
                return values_of(client.info("default"))
        except resp.RedisError as error:
            raise NoAnswer(str(error)) from error

    def close(self) -> None:
        """Do nothing: no connection stays open."""


def values_of(said: Mapping[str, str]) -> Values:
    """Return a sample from the fields of INFO; `refused_writes` is the number of errors for lack of memory."""
    found: dict[str, float | str] = {name: float(said[name]) for name in NUMBERS if name in said}
    refused = re.search(r"count=(\d+)", said.get("errorstat_OOM", ""))
    found["refused_writes"] = float(refused[1]) if refused else 0.0
    return found | {name: said[name] for name in ("run_id", "maxmemory_policy") if name in said}


class RedisStore:
    """The store Redis; see `drivers.stores.Store` for its methods."""

    pace = 1.5
    limits_memory = True

    def reset(self, probe: RedisProbe, address: Address, *, thoroughly: bool) -> str:  # noqa: ARG002  it always deletes everything
        """Delete all keys; clients see the change at once, and Redis frees the memory in the background."""
        try:
            with resp.connect(*address, probe.password, SECONDS) as client:
                spaces = client.info("keyspace").values()
                keys = sum(int(line.partition("keys=")[2].partition(",")[0]) for line in spaces)
                client.call("FLUSHALL", "ASYNC")
        except resp.RedisError as error:
            raise EnvironmentFailed(str(error)) from error
        return f"flushed, {keys} keys" if keys else "flushed, it was empty"

    def client(self, probe: RedisProbe, port: int) -> tuple[list[str], dict[str, str]]:
        """Return the command line of redis-cli for the port, and the environment variable with the password."""
        secret = {"REDISCLI_AUTH": probe.password} if probe.password else {}
        return ["redis-cli", "-h", "127.0.0.1", "-p", str(port)], secret

    def sampler(self, probe: RedisProbe, address: Callable[[], Address]) -> Sampling:
        """Return a sampler of the server; it calls `address` for each new connection."""
        return Sampling(probe, address)

    def change(self, before: Values, after: Values) -> str:
        """Return one line of text about the difference between two samples."""
        first, last = (about(number(values, "used_memory")) for values in (before, after))
        if before.get("run_id") != after.get("run_id"):
            return f"memory {first} -> {last}; the server was restarted"
        most = number(after, "maxmemory")
        limit = f" of {about(most)}" if most else ""
        evicted, refused = (int(number(after, it) - number(before, it)) for it in ("evicted_keys", "refused_writes"))
        text = f"memory {first} -> {last}{limit} (peak {about(number(after, 'used_memory_peak'))})"
        return f"{text}, {evicted} keys evicted, {refused} writes refused for lack of memory"

    def report(self, probe: RedisProbe, address: Address) -> Iterator[str]:
        """Yield INFO, the clients, and Redis' own diagnosis of memory and latency."""
        try:
            with resp.connect(*address, probe.password, SECONDS) as client:
                for words in REPORTED:
                    yield f"# {' '.join(words)}\n{_answer(client, words)}\n"
        except resp.RedisError as error:
            raise ConnectionError(str(error)) from error


def _answer(client: resp.Redis, words: tuple[str, ...]) -> str:
    try:
        return client.call(*words).replace("\r", "").rstrip()
    except resp.RedisError as error:
        return f"refused: {error}"


STORE = RedisStore()
