"""Writes events under load and records each answer, to compare the answers with the stored events at the end."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3

from .servers import Postgres, wait_for
from .services import BATCH, EVENTS, Client, event

WRITERS = 4
EVENTS_IN_A_BATCH = 5
UNKNOWN = 0  # the connection broke, so the client has no answer


class Load:
    """Writers that send single events and batches in turn, each write with a new correlation id."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stopping = threading.Event()
        self.answers: dict[str, tuple[int, int]] = {}  # correlation id -> status, events sent

    def count(self, *statuses: int) -> int:
        return sum(1 for status, _ in list(self.answers.values()) if status in statuses)

    def wait_for_more(self, *statuses: int, more: int = 10) -> None:
        """Wait until ``more`` further writes got one of ``statuses``."""
        wanted = self.count(*statuses) + more
        wait_for(lambda: self.count(*statuses) >= wanted, f"{more} more answers of {statuses}", 40)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._write, args=[number]) for number in range(WRITERS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join(30)

    def _write(self, writer: int) -> None:
        number = 0
        while not self._stopping.wait(0.002):
            number += 1
            correlation = f"load-{writer}-{number}"
            many = [event(correlation_id=correlation) for _ in range(EVENTS_IN_A_BATCH if number % 3 == 0 else 1)]
            try:
                status = self._client.post(many, BATCH).status if len(many) > 1 else self._one(many[0])
            except urllib3.exceptions.HTTPError:
                status = UNKNOWN
            self.answers[correlation] = (status, len(many))

    def _one(self, content: dict[str, object]) -> int:
        return self._client.post(content, EVENTS).status

    def broken_promises(self, postgres: Postgres, database: str, lost: int = 0) -> list[str]:
        """Return one line for each write whose stored events differ from its answer.

        ``lost`` events that were answered with 202 are known to be lost.
        """
        statement = "SELECT correlation_id, count(*) FROM audit_events WHERE correlation_id LIKE 'load-%%' GROUP BY 1"
        found = Counter({str(name): int(str(n)) for name, n in postgres.execute(statement, database=database)})
        wrong, missing = [], 0
        for correlation, (status, sent) in self.answers.items():
            allowed = {201: {sent}, 202: {sent}, UNKNOWN: {0, sent}}.get(status, {0})
            if status == 202 and lost and found[correlation] == 0:
                missing += sent
            elif found[correlation] not in allowed:
                wrong.append(f"{correlation}: answered {status}, sent {sent}, stored {found[correlation]}")
        if missing != lost:
            wrong.append(f"{lost} events were counted as lost, {missing} are missing")
        return wrong
