"""Limits the number of requests that one process handles at the same time, and the total bytes of their bodies."""

from collections.abc import Iterator
from contextlib import contextmanager

from envkit.datastorage.errors import Overloaded


class Admission:
    """Counts the requests that are in progress and their bytes. Only one event loop uses it, so it needs no lock."""

    def __init__(self, *, max_requests: int, max_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.requests = 0
        self.bytes = 0

    @contextmanager
    def ticket(self) -> Iterator["Ticket"]:
        """Count one request until the context ends. Raises Overloaded if ``max_requests`` are in progress."""
        if self.requests >= self._max_requests:
            raise Overloaded(f"the service handles {self._max_requests} requests already")
        ticket = Ticket(self)
        self.requests += 1
        try:
            yield ticket
        finally:
            self.requests -= 1
            self.bytes -= ticket.bytes

    def hold(self, count: int) -> None:
        """Add ``count`` bytes to the total of all requests. Raises Overloaded if that exceeds ``max_bytes``."""
        if self.bytes + count > self._max_bytes:
            raise Overloaded(f"the request bodies in flight would exceed {self._max_bytes} bytes")
        self.bytes += count


class Ticket:
    """The bytes of one request that count towards the limit of all requests."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.bytes = 0

    def hold(self, count: int) -> None:
        """Add ``count`` bytes to this request's bytes. Raises Overloaded if all requests together exceed the limit."""
        self._admission.hold(count)
        self.bytes += count
