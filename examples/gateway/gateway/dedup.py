"""Deduplicates signals in Redis: one round trip decides which of several simultaneous signals is the first."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

_SEEN = """
local count = redis.call('HINCRBY', KEYS[1], 'count', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {count, redis.call('HGET', KEYS[1], 'request') or ''}
"""


class Unavailable(Exception):
    """Redis did not answer in time."""


@dataclass(frozen=True)
class Seen:
    """The number of times a signal has come, with this one, and the request that was created for the first."""

    count: int
    request: str

    @property
    def first(self) -> bool:
        """Whether this signal is the first."""
        return self.count == 1


class Dedup:
    """Deduplication by fingerprint. Each repetition of a signal restarts the time for which it is remembered."""

    def __init__(self, url: str, prefix: str, ttl: float, timeout: float) -> None:
        # Without redis-py's own retries: on a stalled server their timeouts would add up.
        self._redis = Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )  # fmt: skip
        self._prefix, self._ttl = prefix, ttl
        self._script = self._redis.register_script(_SEEN)

    def key(self, fingerprint: str) -> str:
        """Return the Redis key of a signal."""
        return f"{self._prefix}:dedup:{fingerprint}"

    def seen(self, fingerprint: str) -> Seen:
        """Count the signal, restart its time, and return the count. Raises `Unavailable`."""
        try:
            count, request = self._script([self.key(fingerprint)], [int(self._ttl * 1000)])
        except RedisError as error:
            raise Unavailable(str(error) or type(error).__name__) from error
        return Seen(int(count), str(request))

    def became(self, fingerprint: str, request: str) -> None:
        """Store the request of a signal and restart its time, which may have run out during the creation."""
        try:
            with self._redis.pipeline(transaction=True) as both:
                both.hset(self.key(fingerprint), "request", request)
                both.hsetnx(self.key(fingerprint), "count", 1)
                both.pexpire(self.key(fingerprint), int(self._ttl * 1000))
                both.execute()
        except RedisError as error:
            raise Unavailable(str(error) or type(error).__name__) from error

    def forget(self, fingerprint: str) -> None:
        """Forget a signal without a request, so that the next one counts as the first. Raises `Unavailable`."""
        try:
            self._redis.delete(self.key(fingerprint))
        except RedisError as error:
            raise Unavailable(str(error) or type(error).__name__) from error

    def ping(self) -> None:
        """Raise `Unavailable` if Redis does not answer."""
        try:
            self._redis.ping()
        except RedisError as error:
            raise Unavailable(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
