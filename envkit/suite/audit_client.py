"""A client of DataStorage's audit API: it stores batches of events and finds events by correlation id."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from envkit.base.deadline import Deadline
from envkit.base.errors import EnvkitError
from envkit.base.waiting import TryAgain
from envkit.suite.environment import Environment
from envkit.suite.tokens import Tokens

if TYPE_CHECKING:
    from urllib3 import PoolManager

BATCH_EVENTS = 500
BATCH_BYTES = 5 * 2**20 - 4096
"""The limits of one batch: DataStorage accepts at most 500 events and 5 MiB."""

CALL_SECONDS = 10.0
PAGE = 1000
EVENTS = "/api/v1/audit/events"
TOKEN = "DATA_STORAGE_TOKEN"  # noqa: S105  the name of a variable, not a secret


class Refused(EnvkitError):
    """DataStorage refused the request, and a retry would not help.

    `some_event` is true if single events or their number can be the reason; DataStorage can then accept a smaller
    batch.
    """

    def __init__(self, message: str, some_event: bool) -> None:
        super().__init__(message)
        self.some_event = some_event


class Unanswered(TryAgain):
    """DataStorage did not accept the request now; a retry can help. `after` is Retry-After in seconds, or 0."""


def encoded(event: Mapping[str, Any]) -> bytes:
    """Return an event as JSON. Raises TypeError or ValueError if it is not JSON data."""
    return json.dumps(event, separators=(",", ":")).encode()


def fits(size: int, following: bytes) -> bool:
    """Return whether the event `following` still fits into a batch of `size` bytes."""
    return size + len(following) + 2 <= BATCH_BYTES


class Client:
    """A client of one DataStorage service. It sends a token if the environment exports one for DataStorage."""

    def __init__(self, environment: Environment, url: str = "") -> None:
        self.url = url or environment.data_storage_url
        self._tokens = Tokens(environment) if TOKEN in environment or f"{TOKEN}_FILE" in environment else None
        self._lock = threading.Lock()
        self._made: PoolManager | None = None

    def store(self, events: Sequence[bytes]) -> None:
        """Store all events.

        Raises `Refused` if DataStorage did not store any, and `Unanswered` if it is not known whether it stored them.
        """
        self._ask("POST", f"{EVENTS}/batch", b"[" + b",".join(events) + b"]")

    def find(self, correlation_id: str, **query: str) -> list[dict[str, Any]]:
        """Return all events of a correlation id, oldest first; `query` adds filters. Raises `Unanswered`, `Refused`."""
        found: list[dict[str, Any]] = []
        while True:
            words = {"correlation_id": correlation_id, "limit": PAGE, "offset": len(found), **query}
            page = json.loads(self._ask("GET", f"{EVENTS}?{urlencode(words)}"))
            found += page["data"]
            if not page["data"] or not page["pagination"]["has_more"]:
                return found[::-1]

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        import urllib3

        headers = {"Content-Type": "application/json"}
        if self._tokens:
            headers["Authorization"] = f"Bearer {self._tokens[TOKEN]}"
        try:
            answer = self._pool.request(
                method, self.url + path, body=body, headers=headers, timeout=CALL_SECONDS, retries=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unanswered(f"{method} {path.partition('?')[0]}: {error}") from error
        if answer.status in (200, 201, 202):
            return answer.data
        said = f"{method} {path.partition('?')[0]}: {answer.status} {answer.data[:500].decode(errors='replace')}"
        if answer.status in (401, 408, 429) or answer.status >= 500:
            after = answer.headers.get("Retry-After", "")
            raise Unanswered(said, float(after) if after.isdecimal() else 0.0)
        raise Refused(said, some_event=answer.status in (400, 413, 422))

    @property
    def _pool(self) -> PoolManager:
        with self._lock:
            if self._made is None:
                import urllib3

                from envkit.base.deadline_urllib3 import bounded

                self._made = bounded(urllib3.PoolManager(maxsize=4), lambda: Deadline(CALL_SECONDS))
            return self._made
