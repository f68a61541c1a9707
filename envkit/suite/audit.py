"""One audit store for the whole process: buffered, bounded, flushing in the background, drained at the end.

A store for each test died with its test, and took what it had buffered along.
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
"""Events that wait to be sent; then `record` waits as well."""

BUFFER_BYTES = 64 * 2**20
FULL_SECONDS = 10.0
"""That `record` waits for room before the event counts as lost."""

IDLE_SECONDS = 0.05
"""From an event to its sending, so that events that come together go together."""

BACKOFF = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts to send a batch; the last of them again and again."""

GIVE_UP_SECONDS = 60.0
"""For one batch, before its events count as lost."""

DRAIN_SECONDS = 30.0
"""For everything that is buffered, at the end of the process."""


@dataclass(frozen=True)
class Lost:
    """An event that is stored nowhere, and why."""

    correlation_id: str
    event_type: str
    why: str

    def __str__(self) -> str:
        return f"{self.event_type} of {self.correlation_id}: {self.why}"


@dataclass
class AuditStore:
    """Thread-safe. `record` returns at once; `drain` and `close` wait. Delivery is at least once."""

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
        """Empty, without a thread: at first, and in a forked child, whose parent sends what it had buffered."""
        self._waiting: deque[tuple[Event, bytes]] = deque()
        self._bytes = self._sending = 0
        self._changed = threading.Condition()
        self._hurry, self._closed, self._cancel = threading.Event(), False, Cancel()
        self._thread: threading.Thread | None = None

    def record(self, event: Event) -> None:
        """Take an event, to be sent in a moment. One that cannot be taken is noted as lost, never raised: the service
        under test is not to fail for its audit trail; the run does.
        """
        try:
            body = encoded(event)
        except (TypeError, ValueError) as error:
            self._lose([event], f"it is no JSON: {error}")
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
        """Wait until nothing is buffered or on its way. Raises `SuiteError` after `seconds`."""
        self._hurry.set()
        try:
            with self._changed:
                if not self._changed.wait_for(self._is_empty, seconds):
                    left = len(self._waiting) + self._sending
                    raise SuiteError(f"{left} audit events are not stored after {seconds:g} s")
        finally:
            self._hurry.clear()

    def close(self, seconds: float = DRAIN_SECONDS) -> list[Lost]:
        """Drain, end the flusher; all events that were lost, those that are still buffered among them."""
        try:
            self.drain(seconds)
        except SuiteError as error:
            self._cancel.abort()
            with self._changed:
                self._lose([event for event, _ in self._waiting], error.message)
                self._waiting.clear()
                self._changed.wait_for(self._is_empty, CALL_SECONDS + 1.0)  # the batch on its way says itself
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        return self.lost

    def events(self, correlation_id: str, count: int = 1, seconds: float = 10.0, **query: str) -> list[dict[str, Any]]:
        """What DataStorage has of a correlation id, oldest first, once there are at least `count`.

        `query` narrows it further (`event_type`, `event_outcome` ...). Raises `NotWithin` after `seconds`.
        """

        def enough() -> list[dict[str, Any]]:
            found = self.client.find(correlation_id, **query)
            assert len(found) >= count, f"{len(found)} of {count} events{_kinds(found)}"
            return found

        if count == 0:
            return self.client.find(correlation_id, **query)
        what = f"{count} audit events of {correlation_id}"
        return eventually(enough, what=what, seconds=seconds, tries_again=(AssertionError, Unanswered))

    # The flusher

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
            except Exception as error:  # noqa: BLE001  a flusher that dies loses everything that comes after
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
        """Send a batch; a refused one is sent in pieces, so that a bad event takes none of its neighbours along."""
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
            self._lose([event for event, _ in batch], f"not taken in {self.give_up_seconds:g} s: {error}")
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
    """The process' store, made when first asked for and drained at the end of the process."""
    global _shared  # one for each process is what it is for
    with _sharing:
        if _shared is None:
            _shared = AuditStore(Client(environment or Environment()))
            atexit.register(_shared.close)
            os.register_at_fork(after_in_child=_shared._begin)
        return _shared


def close_shared() -> list[Lost]:
    """Drain the process' store, if there is one; what was lost. The next `shared` makes a new one."""
    global _shared
    with _sharing:
        store, _shared = _shared, None
    return store.close() if store else []


def _kinds(found: Sequence[Mapping[str, Any]]) -> str:
    return f" ({', '.join(str(event['event_type']) for event in found)})" if found else ""
