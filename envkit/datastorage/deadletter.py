"""The dead-letter queue: a Redis stream of events that PostgreSQL could not store.

It uses no consumer group. The drain reads an entry again and again until PostgreSQL has committed the event, and then
removes the entry. After a crash between commit and removal, the drain repeats the insert. The repeated insert changes
nothing, because the event id is the key.
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
MAX_PARKED = 1_000  # entries; Redis drops the oldest first, but a counter in the metrics still includes them

# The script checks the limits and appends in one step, so concurrent writers cannot exceed the limits together, and
# a batch is queued completely or not at all. ARGV: maximum entries, maximum bytes, then pairs of event id, document.
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
    """One queued event. ``place`` is the entry's id in the stream. A field that the entry lacks is empty."""

    place: bytes
    event_id: str
    document: bytes


class DeadLetterQueue:
    """The stream of queued events, and a second stream of parked entries, which PostgreSQL can never store.

    Each method raises QueueUnavailable if Redis fails.
    """

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
            retry=Retry(NoBackoff(), 1),  # for a dead pooled connection; PostgreSQL stores a duplicate entry only once
        )
        self._redis = Redis.from_pool(pool)
        self._enqueue = self._redis.register_script(_ENQUEUE)

    async def close(self) -> None:
        """Close the connections. Queued events stay in Redis."""
        await self._redis.aclose()

    async def enqueue(self, event_ids: Sequence[str], documents: Sequence[bytes]) -> None:
        """Append all the events, or not any of them and raise QueueFull if they exceed a limit of the queue."""
        arguments: list[Any] = [self._settings.queue_max_length, self._settings.queue_max_bytes]
        for event_id, document in zip(event_ids, documents, strict=True):
            arguments += [event_id, document]
        length = await self._ask(self._enqueue(keys=[self._key], args=arguments))
        if length < 0:
            raise QueueFull("the dead-letter queue is full")

    async def oldest(self, count: int) -> list[Entry]:
        """Return the oldest entries, at most ``count``. They stay in the queue until ``remove``."""
        found = await self._ask(self._redis.xrange(self._key, count=count))
        return [
            Entry(place, fields.get(b"event_id", b"").decode(errors="replace"), fields.get(b"document", b""))
            for place, fields in found
        ]

    async def remove(self, entries: Sequence[Entry]) -> None:
        """Remove entries from the queue, after PostgreSQL has committed them."""
        await self._ask(self._redis.xdel(self._key, *(entry.place for entry in entries)))

    async def park(self, entry: Entry, reason: str) -> None:
        """Move an entry that PostgreSQL can never store to the parked stream, in one transaction."""
        transaction = self._redis.pipeline(transaction=True)
        fields: dict[Any, Any] = {"event_id": entry.event_id, "document": entry.document, "reason": reason}
        transaction.xadd(self._parked_key, fields, maxlen=MAX_PARKED, approximate=False)
        transaction.xdel(self._key, entry.place)
        await self._ask(transaction.execute())

    async def parked(self) -> set[str]:
        """Return the event ids in the parked stream."""
        found = await self._ask(self._redis.xrange(self._parked_key))
        return {fields.get(b"event_id", b"").decode(errors="replace") for _, fields in found}

    async def lengths(self) -> tuple[int, int]:
        """Return the number of queued entries and the number of parked entries."""
        transaction = self._redis.pipeline(transaction=False)
        transaction.xlen(self._key)
        transaction.xlen(self._parked_key)
        waiting, parked = await self._ask(transaction.execute())
        return waiting, parked

    async def check(self) -> None:
        """Raise QueueUnavailable if Redis does not answer."""
        await self._ask(self._redis.ping())

    async def _ask(self, command: Any) -> Any:
        try:
            return await command
        except ResponseError as exc:  # out of memory with noeviction, a key of another type, no permission
            raise QueueUnavailable(f"Redis refuses it: {exc}") from exc
        except (RedisError, OSError, TimeoutError) as exc:
            raise QueueUnavailable(f"Redis does not answer: {str(exc) or type(exc).__name__}") from exc
