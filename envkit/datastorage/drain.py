"""Writes queued events to PostgreSQL as soon as PostgreSQL works again, and finds events that the queue has lost."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence

from envkit.datastorage.database import Database
from envkit.datastorage.deadletter import DeadLetterQueue, Entry
from envkit.datastorage.errors import DatabaseUnavailable, EventRefused, QueueUnavailable
from envkit.datastorage.ledger import Ledger
from envkit.datastorage.metrics import Metrics
from envkit.datastorage.withdrawals import Withdrawals

LOG = logging.getLogger(__name__)
ENTRIES_AT_ONCE = 32  # each can be as large as a request's body, 5 MiB


class Drain:
    """The worker that empties the queue.

    Workers of several processes can share one queue, because PostgreSQL stores an event only once.
    """

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
        self._stopping = asyncio.Event()

    async def run(self, interval: float) -> None:
        """Call ``step`` until ``stop`` is called; pause ``interval`` seconds after a step that returns False."""
        while not self._stopping.is_set():
            if not await self.step():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), interval)

    def stop(self) -> None:
        """End ``run`` after its current step."""
        self._stopping.set()

    async def step(self) -> bool:
        """Write the oldest entries to PostgreSQL. Return False if the queue is empty, or if the step fails."""
        try:
            if self._database.connections.fault is not None:
                await self._recover()
            return await self._advance()
        except (DatabaseUnavailable, QueueUnavailable) as exc:
            LOG.debug("the queue cannot be drained now", extra={"reason": str(exc)})
        except Exception:
            LOG.exception("a step of the drain failed")  # no other task writes queued events, so the loop must go on
        self._withdrawals.ill()
        return False

    async def _recover(self) -> None:
        try:
            await self._database.recover()
        except DatabaseUnavailable:
            await self.measure()  # while PostgreSQL fails, the queue grows: keep its metrics current
            raise

    async def _advance(self) -> bool:
        # Copied before the queue is read: a promise after that can be missing from the entries without being lost.
        promised = self._ledger.outstanding()
        entries = await self._queue.oldest(ENTRIES_AT_ONCE)
        await self._take_back([entry for entry in entries if entry.event_id in self._withdrawals])
        if wanted := [entry for entry in entries if entry.event_id not in self._withdrawals]:
            await self._write(wanted)
        elif promised and not entries:
            await self._find_lost(promised)
        await self.measure()
        self._withdrawals.well()
        return bool(entries)

    async def _take_back(self, entries: Sequence[Entry]) -> None:
        """Remove all refused events from PostgreSQL, and the given entries from the queue.

        The service had refused these events with 503 before PostgreSQL or Redis wrote them.
        """
        if not (refused := self._withdrawals.ids()):
            return
        written = await self._database.withdraw(refused)
        if entries:
            await self._queue.remove(entries)
        if late := written + len(entries):
            self._metrics.withdrawn.inc(late)
            LOG.warning("refused events were written late: removed again", extra={"events": late})

    async def _write(self, entries: Sequence[Entry]) -> None:
        try:
            await self._insert(entries)
        except EventRefused:
            for entry in entries:
                await self._write_alone(entry)

    async def _write_alone(self, entry: Entry) -> None:
        try:
            await self._insert([entry])
        except EventRefused as exc:
            await self._queue.park(entry, str(exc))
            self._metrics.parked.inc()
            self._ledger.settled([entry.event_id])
            LOG.warning("a queued event can never be written: parked", extra=_named(entry.event_id, reason=str(exc)))

    async def _insert(self, entries: Sequence[Entry]) -> None:
        if not all(entry.document.lstrip().startswith(b"{") for entry in entries):
            raise EventRefused("not a JSON object")
        written = await self._database.insert(b"[" + b",".join(entry.document for entry in entries) + b"]")
        await self._queue.remove(entries)
        self._metrics.drained.inc(written)
        self._ledger.settled(entry.event_id for entry in entries)

    async def _find_lost(self, promised: Mapping[str, str]) -> None:
        """Count and log each promised event that Redis lost: an event that is neither queued nor stored nor parked."""
        gone = promised.keys() - await self._database.stored(promised.keys())
        lost = gone - await self._queue.parked() if gone else gone
        self._ledger.settled(promised)
        self._metrics.lost.inc(len(lost))
        for event_id in lost:
            LOG.error("Redis lost a queued event", extra=_named(event_id, correlation_id=promised[event_id]))

    async def measure(self) -> None:
        """Update the gauges of the queue. Raises QueueUnavailable if Redis does not answer."""
        waiting, parked = await self._queue.lengths()
        self._metrics.queue_depth.set(waiting)
        self._metrics.queue_parked.set(parked)
        self._metrics.queue_missing.set(max(0, len(self._ledger) - waiting))


def _named(event_id: str, **more: str) -> dict[str, str]:
    return {"event_id": event_id, **more}
