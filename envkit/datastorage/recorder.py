"""Stores events in PostgreSQL (status 201), or else in the queue (202).

Any other status means that neither has the events.
"""

import enum
import logging
from collections.abc import Sequence

from envkit.datastorage import events as event_documents
from envkit.datastorage.database import Database
from envkit.datastorage.deadletter import DeadLetterQueue
from envkit.datastorage.errors import DatabaseUnavailable, DataStorageError, EventRefused, QueueUnavailable
from envkit.datastorage.events import Stored
from envkit.datastorage.ledger import Ledger
from envkit.datastorage.metrics import Metrics
from envkit.datastorage.withdrawals import Withdrawals

LOG = logging.getLogger(__name__)


class NotKept(DataStorageError):
    """Neither PostgreSQL nor the queue stored the events."""


class Kept(enum.Enum):
    """The place that has the events now: PostgreSQL (STORED) or the queue (QUEUED)."""

    STORED = "stored"
    QUEUED = "queued"


class Recorder:
    """Stores events in PostgreSQL or, if that fails, in the queue."""

    def __init__(
        self,
        database: Database,
        queue: DeadLetterQueue,
        *,
        ledger: Ledger,
        withdrawals: Withdrawals,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._queue = queue
        self._ledger = ledger
        self._withdrawals = withdrawals
        self._metrics = metrics

    async def keep(self, events: Sequence[Stored]) -> Kept:
        """Store all of ``events`` in one place and return the place.

        Raises EventRefused if PostgreSQL can never store one of them, and NotKept if neither place stores them.
        """
        try:
            kept = await self._keep(events)
        except EventRefused:
            self._metrics.events.labels("refused").inc(len(events))
            raise
        except NotKept:
            self._metrics.events.labels("unavailable").inc(len(events))
            raise
        self._metrics.events.labels(kept.value).inc(len(events))
        return kept

    async def _keep(self, events: Sequence[Stored]) -> Kept:
        try:
            await self._database.insert(event_documents.document_array(events))
        except DatabaseUnavailable as exc:
            await self._enqueue(events, exc)
            return Kept.QUEUED
        return Kept.STORED

    async def _enqueue(self, events: Sequence[Stored], cause: DatabaseUnavailable) -> None:
        ids = [event["event_id"] for event in events]
        try:
            await self._queue.enqueue(ids, event_documents.documents(events))
        except QueueUnavailable as exc:
            self._withdrawals.refused(ids)
            LOG.warning(
                "events could not be stored", extra={"events": len(ids), "database": str(cause), "queue": str(exc)}
            )
            raise NotKept(f"PostgreSQL: {cause}; dead-letter queue: {exc}") from exc
        self._ledger.promised(events)
