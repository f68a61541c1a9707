"""Which signals were seen lately, in Redis: one round trip decides who is first, whatever comes at the same moment."""

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
    """Redis did not answer in time, or not at all."""


@dataclass(frozen=True)
class Seen:
    """How often a signal has come, this time included, and the request that the first one became."""

    count: int
    request: str

    @property
    def first(self) -> bool:
        """Whether nobody has seen it lately."""
        return self.count == 1


class Dedup:
    """Deduplication by fingerprint; every sighting lengthens the time for which it is remembered."""

    def __init__(self, url: str, prefix: str, ttl: float, timeout: float) -> None:
        # No repeats of redis-py's own: a stalled server would cost their sum.
        self._redis = Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )  # fmt: skip
        self._prefix, self._ttl = prefix, ttl
        self._script = self._redis.register_script(_SEEN)

    def key(self, fingerprint: str) -> str:
        """Where a signal is remembered."""
        return f"{self._prefix}:dedup:{fingerprint}"

    def seen(self, fingerprint: str) -> Seen:
        """Count the signal and start its time anew. Raises `Unavailable`."""
        try:
            count, request = self._script([self.key(fingerprint)], [int(self._ttl * 1000)])
        except RedisError as error:
            raise Unavailable(str(error) or type(error).__name__) from error
        return Seen(int(count), str(request))

    def became(self, fingerprint: str, request: str) -> None:
        """Remember the request, from now on for the whole time: making it may have taken longer than that."""
        try:
            with self._redis.pipeline(transaction=True) as both:
                both.hset(self.key(fingerprint), "request", request)
                both.hsetnx(self.key(fingerprint), "count", 1)
                both.pexpire(self.key(fingerprint), int(self._ttl * 1000))
                both.execute()
        except RedisError as error:
            raise Unavailable(str(error) or type(error).__name__) from error

    def forget(self, fingerprint: str) -> None:
        """No request came of it: the next one is the first again. Raises `Unavailable`."""
        try:
            self._redis.delete(self.key(fingerprint))
        except RedisError as error:
            raise Unavailable(str(error) or type(error).__name__) from error

    def ping(self) -> None:
        """Raises `Unavailable` when Redis does not answer."""
        try:
            self._redis.ping()
        except RedisError as error:
            raise Unavailable(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
