"""Sends audit events to DataStorage: one store per process, with a bounded buffer and a thread that sends batches.

At the end of the process the store sends all buffered events. A store per test would lose its buffered events at the
end of the test.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envkit.base.errors import SuiteError
from envkit.base.waiting import Cancel, backoff, retry
from envkit.suite.audit_client import BATCH_EVENTS, CALL_SECONDS, Client, Refused, Unanswered, encoded, fits
from envkit.suite.environment import Environment
from envkit.suite.eventually import eventually

Event = Mapping[str, Any]

CAPACITY = 10_000
"""Maximum number of events in the buffer. If the buffer is full, `record` waits."""

BUFFER_BYTES = 64 * 2**20
FULL_SECONDS = 10.0
"""Seconds for which `record` waits for room in the buffer before it counts the event as lost."""

IDLE_SECONDS = 0.05
"""Seconds before a batch is sent, so that events in quick succession share a batch."""

BACKOFF = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts to send a batch; the last value repeats."""

GIVE_UP_SECONDS = 60.0
"""Seconds for all attempts to send one batch; after that its events count as lost."""

DRAIN_SECONDS = 30.0
"""Seconds to send all buffered events at the end of the process."""


@dataclass(frozen=True)
class Lost:
    """An event that was not stored, with the reason."""

    correlation_id: str
    event_type: str
    why: str

    def __str__(self) -> str:
        return f"{self.event_type} of {self.correlation_id}: {self.why}"


@dataclass
class AuditStore:
    """A thread-safe buffer of audit events, which a background thread sends. An event can be sent more than once.

    `record` returns at once unless the buffer is full; `drain` and `close` wait.
    """

    client: Client
    capacity: int = CAPACITY
    buffer_bytes: int = BUFFER_BYTES
    full_seconds: float = FULL_SECONDS
    backoff: Sequence[float] = BACKOFF
    give_up_seconds: float = GIVE_UP_SECONDS
    lost: list[Lost] = field(default_factory=list)
    stored: int = 0

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        """Reset to an empty buffer without a thread.

        A forked child process also calls this, because its parent sends the events that were buffered before the fork.
        """
        self._waiting: deque[tuple[Event, bytes]] = deque()
        self._bytes = self._sending = 0
        self._changed = threading.Condition()
        self._hurry, self._closed, self._cancel = threading.Event(), False, Cancel()
        self._thread: threading.Thread | None = None

    def record(self, event: Event) -> None:
        """Buffer an event for the background thread; add an event that cannot be buffered to `lost`.

        It raises no error. So a fault of the audit trail fails the test run at the end, but not the service under test.
        """
        try:
            body = encoded(event)
        except (TypeError, ValueError) as error:
            self._lose([event], f"it is not JSON: {error}")
            return
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._has_room(len(body)), self.full_seconds):
                self._lose([event], f"the buffer was full for {self.full_seconds:g} s ({len(self._waiting)} events)")
                return
            if self._closed:
                self._lose([event], "it came after the store was closed")
                return
            self._waiting.append((event, body))
            self._bytes += len(body)
            self._start()
            self._changed.notify_all()

    def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until no event is buffered or being sent. Raises `SuiteError` after `seconds`."""
        self._hurry.set()
        try:
            with self._changed:
                if not self._changed.wait_for(self._is_empty, seconds):
                    left = len(self._waiting) + self._sending
                    raise SuiteError(f"{left} audit events are not stored after {seconds:g} s")
        finally:
            self._hurry.clear()

    def close(self, seconds: float = DRAIN_SECONDS) -> list[Lost]:
        """Send all buffered events, stop the thread and return all lost events, and also those not sent in time."""
        try:
            self.drain(seconds)
        except SuiteError as error:
            self._cancel.abort()
            with self._changed:
                self._lose([event for event, _ in self._waiting], error.message)
                self._waiting.clear()
                self._changed.wait_for(self._is_empty, CALL_SECONDS + 1.0)  # `_send` reports the current batch
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        return self.lost

    def events(self, correlation_id: str, count: int = 1, seconds: float = 10.0, **query: str) -> list[dict[str, Any]]:
        """Wait until DataStorage has at least `count` events of a correlation id and return them, oldest first.

        `query` has further filters (`event_type`, `event_outcome` ...). Raises `NotWithin` after `seconds`.
        """

        def enough() -> list[dict[str, Any]]:
            found = self.client.find(correlation_id, **query)
            assert len(found) >= count, f"{len(found)} of {count} events{_kinds(found)}"
            return found

        if count == 0:
            return self.client.find(correlation_id, **query)
        what = f"{count} audit events of {correlation_id}"
        return eventually(enough, what=what, seconds=seconds, tries_again=(AssertionError, Unanswered))

    # The background thread

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._flush_for_ever, name="envkit-audit", daemon=True)
            self._thread.start()

    def _flush_for_ever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
            self._hurry.wait(IDLE_SECONDS)
            batch = self._take()
            try:
                self._send(batch)
            except Exception as error:  # noqa: BLE001  the thread must continue, or all later events are lost
                self._lose([event for event, _ in batch], f"{type(error).__name__}: {error}")
            with self._changed:
                self._sending = 0
                self._changed.notify_all()

    def _take(self) -> list[tuple[Event, bytes]]:
        batch: list[tuple[Event, bytes]] = []
        size = 0
        with self._changed:
            while self._waiting and len(batch) < BATCH_EVENTS:
                if batch and not fits(size, self._waiting[0][1]):
                    break
                batch.append(self._waiting.popleft())
                size += len(batch[-1][1]) + 1
            self._bytes -= sum(len(body) for _, body in batch)
            self._sending = len(batch)
            self._changed.notify_all()
        return batch

    def _send(self, batch: list[tuple[Event, bytes]]) -> None:
        """Send a batch. If DataStorage refuses it, send its halves, so that only the invalid events are lost."""
        try:
            self._insist(lambda: self.client.store([body for _, body in batch]))
        except Refused as error:
            if len(batch) == 1 or not error.some_event:
                self._lose([event for event, _ in batch], str(error))
                return
            middle = len(batch) // 2
            self._send(batch[:middle])
            self._send(batch[middle:])
        except Unanswered as error:
            self._lose([event for event, _ in batch], f"not accepted within {self.give_up_seconds:g} s: {error}")
        else:
            with self._changed:
                self.stored += len(batch)

    def _insist(self, send: Callable[[], None]) -> None:
        retry(send, seconds=self.give_up_seconds, pauses=backoff(self.backoff), cancel=self._cancel)

    def _has_room(self, size: int) -> bool:
        return len(self._waiting) < self.capacity and (self._bytes + size <= self.buffer_bytes or not self._waiting)

    def _is_empty(self) -> bool:
        return not self._waiting and not self._sending

    def _lose(self, events: Sequence[Event], why: str) -> None:
        for event in events:
            self.lost.append(Lost(str(event.get("correlation_id")), str(event.get("event_type")), why))


_shared: AuditStore | None = None
_sharing = threading.Lock()


def shared(environment: Environment | None = None) -> AuditStore:
    """Return the store of this process. The first call creates the store; it is closed when the process ends."""
    global _shared  # exactly one store per process
    with _sharing:
        if _shared is None:
            _shared = AuditStore(Client(environment or Environment()))
            atexit.register(_shared.close)
            os.register_at_fork(after_in_child=_shared._begin)
        return _shared


def close_shared() -> list[Lost]:
    """Close the store of this process, if there is one, and return its lost events.

    The next call of `shared` creates a new store.
    """
    global _shared
    with _sharing:
        store, _shared = _shared, None
    return store.close() if store else []


def _kinds(found: Sequence[Mapping[str, Any]]) -> str:
    return f" ({', '.join(str(event['event_type']) for event in found)})" if found else ""
