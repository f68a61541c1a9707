"""The dead-letter queue: a Redis stream of events that PostgreSQL could not take.

There is no consumer group: an entry is removed after its commit, and until then it is simply read again. A crash
between the two repeats an insert that changes nothing, because the event id is the key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from envkit.datastorage.errors import QueueFull, QueueUnavailable
from envkit.datastorage.settings import Settings

MAX_CONNECTIONS = 16
MAX_PARKED = 1_000  # entries; the oldest go first, the counter keeps their number

# Bound and append in one step: concurrent writers cannot pass the bound together, and a batch is queued whole.
# ARGV: most entries, most bytes, then event id and document by turns.
_ENQUEUE = """
local length = redis.call('XLEN', KEYS[1])
local bytes = redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 5) or 0
for i = 4, #ARGV, 2 do length = length + 1; bytes = bytes + #ARGV[i] end
if length > tonumber(ARGV[1]) or bytes > tonumber(ARGV[2]) then return -1 end
for i = 3, #ARGV, 2 do redis.call('XADD', KEYS[1], '*', 'event_id', ARGV[i], 'document', ARGV[i + 1]) end
return length
"""


@dataclass(frozen=True)
class Entry:
    """One queued event, as read; a foreign entry may lack everything but its place."""

    place: bytes
    event_id: str
    document: bytes


class DeadLetterQueue:
    """The stream and, beside it, the stream of entries that were given up. Everything may raise QueueUnavailable."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = settings.queue_key
        self._parked_key = f"{settings.queue_key}:parked"
        pool = BlockingConnectionPool.from_url(
            settings.redis_url.get_secret_value(),
            max_connections=MAX_CONNECTIONS,
            timeout=settings.redis_timeout,
            socket_timeout=settings.redis_timeout,
            socket_connect_timeout=settings.redis_timeout,
            retry=Retry(NoBackoff(), 1),  # a connection that died in the pool; a double entry is written once
        )
        self._redis = Redis.from_pool(pool)
        self._enqueue = self._redis.register_script(_ENQUEUE)

    async def close(self) -> None:
        """Closes the connections; what is queued stays."""
        await self._redis.aclose()

    async def enqueue(self, event_ids: Sequence[str], documents: Sequence[bytes]) -> None:
        """Appends all the events or none. Raises QueueFull, QueueUnavailable."""
        arguments: list[Any] = [self._settings.queue_max_length, self._settings.queue_max_bytes]
        for event_id, document in zip(event_ids, documents, strict=True):
            arguments += [event_id, document]
        length = await self._ask(self._enqueue(keys=[self._key], args=arguments))
        if length < 0:
            raise QueueFull("the dead-letter queue is full")

    async def oldest(self, count: int) -> list[Entry]:
        """The first ``count`` entries; they stay until ``remove``."""
        found = await self._ask(self._redis.xrange(self._key, count=count))
        return [
            Entry(place, fields.get(b"event_id", b"").decode(errors="replace"), fields.get(b"document", b""))
            for place, fields in found
        ]

    async def remove(self, entries: Sequence[Entry]) -> None:
        """Takes entries out, once they are committed."""
        await self._ask(self._redis.xdel(self._key, *(entry.place for entry in entries)))

    async def park(self, entry: Entry, reason: str) -> None:
        """Moves an entry that can never be written out of the way; in one transaction, so it is in one of the two."""
        transaction = self._redis.pipeline(transaction=True)
        fields: dict[Any, Any] = {"event_id": entry.event_id, "document": entry.document, "reason": reason}
        transaction.xadd(self._parked_key, fields, maxlen=MAX_PARKED, approximate=False)
        transaction.xdel(self._key, entry.place)
        await self._ask(transaction.execute())

    async def parked(self) -> set[str]:
        """The event ids of the parked entries that are still kept."""
        found = await self._ask(self._redis.xrange(self._parked_key))
        return {fields.get(b"event_id", b"").decode(errors="replace") for _, fields in found}

    async def lengths(self) -> tuple[int, int]:
        """How many entries wait, and how many are parked."""
        transaction = self._redis.pipeline(transaction=False)
        transaction.xlen(self._key)
        transaction.xlen(self._parked_key)
        waiting, parked = await self._ask(transaction.execute())
        return waiting, parked

    async def check(self) -> None:
        """Raises QueueUnavailable when Redis does not answer."""
        await self._ask(self._redis.ping())

    async def _ask(self, command: Any) -> Any:
        try:
            return await command
        except ResponseError as exc:  # out of memory with noeviction, a key of another type, no permission
            raise QueueUnavailable(f"Redis refuses: {exc}") from exc
        except (RedisError, OSError, TimeoutError) as exc:
            raise QueueUnavailable(f"Redis does not answer: {str(exc) or type(exc).__name__}") from exc
