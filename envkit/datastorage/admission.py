"""How much work one process may hold: requests, and the bytes of their bodies. What exceeds it is sent away at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from envkit.datastorage.errors import Overloaded


class Admission:
    """Counts what is held. One event loop uses it, so plain numbers do."""

    def __init__(self, *, max_requests: int, max_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.requests = 0
        self.bytes = 0

    @contextmanager
    def ticket(self) -> Iterator["Ticket"]:
        """Holds a place until it is left. Raises Overloaded."""
        if self.requests >= self._max_requests:
            raise Overloaded(f"{self._max_requests} requests are being worked on")
        ticket = Ticket(self)
        self.requests += 1
        try:
            yield ticket
        finally:
            self.requests -= 1
            self.bytes -= ticket.bytes

    def hold(self, count: int) -> None:
        """Adds to what all requests hold. Raises Overloaded."""
        if self.bytes + count > self._max_bytes:
            raise Overloaded(f"{self._max_bytes} bytes of requests are being worked on")
        self.bytes += count


class Ticket:
    """One request's share."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.bytes = 0

    def hold(self, count: int) -> None:
        """Adds ``count`` bytes to what this request holds. Raises Overloaded."""
        self._admission.hold(count)
        self.bytes += count
