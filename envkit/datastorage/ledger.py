"""What this process has put into the queue and not yet seen again.

The suite's Redis keeps nothing on disk and may evict the stream under memory pressure. What was promised with 202 and
is then neither in the stream nor in PostgreSQL is lost, and only somebody who remembers it can say so.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class Ledger:
    """Event id -> correlation id of every queued event whose end is not known; as bounded as the queue itself."""

    def __init__(self) -> None:
        self._outstanding: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._outstanding)

    def promised(self, events: Sequence[Mapping[str, Any]]) -> None:
        """These events were answered with 202."""
        self._outstanding |= {event["event_id"]: event["correlation_id"] for event in events}

    def settled(self, event_ids: Iterable[str]) -> None:
        """The end of these is known."""
        for event_id in event_ids:
            self._outstanding.pop(event_id, None)

    def outstanding(self) -> dict[str, str]:
        """A copy of what is open now."""
        return dict(self._outstanding)
