"""Records events that the service refused with 503, but that PostgreSQL or Redis can still write later.

A stopped server still has the write in its socket buffer and executes the write when the server continues. At that
time the client has got 503, and has perhaps sent the event again. So the drain removes such late writes as soon as
both servers work again.
"""

from collections.abc import Callable, Iterable

MAX_REMEMBERED = 10_000  # events; the oldest are dropped first
GRACE_SECONDS = 5.0  # after both servers have worked for this time, no late write is expected


class Withdrawals:
    """The ids of refused events that PostgreSQL or Redis can still write. ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._well_since: float | None = None
        self._refused: dict[str, float] = {}

    def refused(self, event_ids: Iterable[str]) -> None:
        """Record that the service answered these events with 503."""
        now = self._clock()
        self._refused |= dict.fromkeys(event_ids, now)
        for event_id in list(self._refused)[: max(0, len(self._refused) - MAX_REMEMBERED)]:
            del self._refused[event_id]

    def ids(self) -> frozenset[str]:
        """Return the ids of the refused events that PostgreSQL or Redis can still write."""
        return frozenset(self._refused)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._refused

    def ill(self) -> None:
        """Record that PostgreSQL or Redis does not work now."""
        self._well_since = None

    def well(self) -> None:
        """Record that both servers work now.

        It drops the id of an event after both servers have worked for ``GRACE_SECONDS`` since the refusal.
        """
        now = self._clock()
        if self._well_since is None:
            self._well_since = now
        self._refused = {
            event_id: at for event_id, at in self._refused.items() if now - max(at, self._well_since) < GRACE_SECONDS
        }
