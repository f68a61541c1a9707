"""Events that were answered with 503 although a server may still act on them.

A stopped server has the write in its socket's buffer and carries it out when it goes on, long after the client was
told that nothing was kept and has sent the event again. So such events are taken back when both servers work again.
"""

from collections.abc import Callable, Iterable

MAX_REMEMBERED = 10_000  # events; beyond that the oldest are forgotten
GRACE_SECONDS = 5.0  # both servers work for as long before nothing late is expected any more


class Withdrawals:
    """Ids of refused events, until nothing late can come any more. ``clock`` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._well_since: float | None = None
        self._refused: dict[str, float] = {}

    def refused(self, event_ids: Iterable[str]) -> None:
        """These were answered with 503."""
        now = self._clock()
        self._refused |= dict.fromkeys(event_ids, now)
        for event_id in list(self._refused)[: max(0, len(self._refused) - MAX_REMEMBERED)]:
            del self._refused[event_id]

    def ids(self) -> frozenset[str]:
        """Those that may still be written late."""
        return frozenset(self._refused)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._refused

    def ill(self) -> None:
        """One of the servers does not work."""
        self._well_since = None

    def well(self) -> None:
        """Both servers work. What was refused before they have worked for a while is forgotten."""
        now = self._clock()
        if self._well_since is None:
            self._well_since = now
        self._refused = {
            event_id: at for event_id, at in self._refused.items() if now - max(at, self._well_since) < GRACE_SECONDS
        }
