"""The guarantees of 201, 202 and 503, with real servers that are stopped, paused and killed."""

import json
import time
from collections.abc import Callable

import pytest

from .conftest import Start
from .migrations import apply_migrations, revert_migrations
from .servers import Postgres, Redis, wait_for
from .services import BATCH, EVENTS, Threaded, event

pytestmark = pytest.mark.integration
KEY = "datastorage:deadletter"
FAST = {"database_timeout": 0.5, "redis_timeout": 0.3}

ENDS: list[Callable[[Postgres], None]] = [Postgres.stop, Postgres.pause, Postgres.kill]
NAMES = ["stopped", "paused", "killed"]


def back(postgres: Postgres) -> None:
    postgres.resume()
    postgres.start()


def stored(postgres: Postgres, database: str) -> list[str]:
    return [str(row[0]) for row in postgres.execute("SELECT event_id FROM audit_events", database=database)]


@pytest.mark.parametrize("end", ENDS, ids=NAMES)
def test_without_postgresql_events_are_queued_and_written_later(
    start: Start, postgres: Postgres, database: str, end: Callable[[Postgres], None]
) -> None:
    service = start(**FAST)
    before = service.post(event()).json()["event_id"]
    end(postgres)
    answers = [service.post(event()), service.post([event(), event()], BATCH)]
    assert [answer.status for answer in answers] == [202, 202]
    assert answers[0].json()["status"] == "accepted"
    wait_for(lambda: service.metric("datastorage_deadletter_depth") == 3, "three events to wait")
    assert not service.is_ready()
    back(postgres)
    ids = [before, answers[0].json()["event_id"], *answers[1].json()["event_ids"]]
    # A paused server may execute a write that it received before the pause. Then the drain finds the event stored.
    wait_for(lambda: sorted(stored(postgres, database)) == sorted(ids), "each event to be written once")
    wait_for(lambda: service.metric("datastorage_deadletter_depth") == 0, "the queue to be empty")
    assert service.metric("datastorage_deadletter_lost_total") == 0
    assert service.post(event()).status == 201


def test_once_postgresql_is_known_to_fail_nobody_waits_for_it(start: Start, postgres: Postgres) -> None:
    service = start(**FAST)
    postgres.pause()
    service.post(event())
    started = time.monotonic()
    assert service.post(event()).status == 202
    assert time.monotonic() - started < 0.3


def test_a_restarted_postgresql_is_not_a_failure(start: Start, postgres: Postgres) -> None:
    service = start()
    for _ in range(3):
        assert service.post(event()).status == 201
    postgres.kill()
    postgres.start()
    assert [service.post(event()).status for _ in range(5)] == [201] * 5


def test_a_missing_schema_queues_too(start: Start, postgres: Postgres, database: str) -> None:
    service = start()
    revert_migrations(postgres, database)
    assert service.post(event()).status == 202
    assert service.ask("GET", EVENTS).status == 503
    apply_migrations(postgres, database)
    wait_for(lambda: stored(postgres, database), "the event to be written")


@pytest.mark.parametrize("path", [EVENTS, BATCH])
def test_with_both_down_nothing_is_promised(start: Start, postgres: Postgres, redis_queue: Redis, path: str) -> None:
    service = start(**FAST)
    postgres.stop()
    redis_queue.stop()
    answer = service.post(event() if path == EVENTS else [event(), event()], path)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"] == "https://kubernaut.ai/problems/service-unavailable"
    postgres.start()
    redis_queue.start()
    service.wait_until_ready()
    assert service.query()["pagination"]["total"] == 0


def test_the_queue_is_bounded_and_a_batch_goes_in_whole_or_not(start: Start, postgres: Postgres) -> None:
    service = start(queue_max_length=3, **FAST)
    postgres.stop()
    assert service.post([event(), event()], BATCH).status == 202
    assert service.post([event(), event()], BATCH).status == 503
    assert service.post(event()).status == 202
    assert service.post(event()).status == 503
    wait_for(lambda: service.metric("datastorage_deadletter_depth") == 3, "three events to wait")


def test_the_queue_is_bounded_in_bytes(start: Start, postgres: Postgres) -> None:
    service = start(queue_max_bytes=20_000, **FAST)
    postgres.stop()
    statuses = [service.post(event(event_data="x" * 3000)).status for _ in range(8)]
    assert statuses == sorted(statuses)
    assert set(statuses) == {202, 503}


def test_entries_left_between_write_and_removal_are_written_once(
    start: Start, postgres: Postgres, redis_queue: Redis, database: str
) -> None:
    service = start()
    created = service.post(event()).json()["event_id"]
    document = json.dumps(event(event_id=created))
    with redis_queue.client() as client:  # the state after a crash between commit and removal
        client.xadd(KEY, {"event_id": created, "document": document})
        wait_for(lambda: client.xlen(KEY) == 0, "the entry to be removed")
    assert stored(postgres, database) == [created]
    assert service.metric("datastorage_deadletter_drained_total") == 0


POISON = [
    "",
    "not json",
    "5",
    "{}",
    json.dumps(event(event_id="x")),
    json.dumps(event(event_id="0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", event_data="a\0")),
    b"\xff",
]


def test_poison_is_parked_and_counted_and_stops_nobody(
    start: Start, postgres: Postgres, redis_queue: Redis, database: str
) -> None:
    service = start(**FAST)
    postgres.stop()
    with redis_queue.client() as client:
        for document in POISON:
            client.xadd(KEY, {"event_id": "poison", "document": document})
        client.xadd(KEY, {"something": "else"})
        good = service.post(event()).json()["event_id"]
        postgres.start()
        wait_for(lambda: stored(postgres, database) == [good], "the good event to be written")
        wait_for(lambda: client.xlen(f"{KEY}:parked") == len(POISON) + 1, "the poison to be parked")
        assert client.xlen(KEY) == 0
    wait_for(lambda: service.metric("datastorage_deadletter_parked") == len(POISON) + 1, "the gauge to follow")
    assert service.metric("datastorage_deadletter_parked_events_total") == len(POISON) + 1
    assert service.metric("datastorage_deadletter_lost_total") == 0


@pytest.mark.parametrize("loss", ["flushed", "killed", "deleted"])
def test_a_lost_queue_is_noticed_and_counted(start: Start, postgres: Postgres, redis_queue: Redis, loss: str) -> None:
    service: Threaded = start(**FAST)
    postgres.stop()
    assert [service.post(event()).status for _ in range(4)] == [202] * 4
    if loss == "killed":
        redis_queue.kill()
        redis_queue.start()
    with redis_queue.client() as client:
        client.flushall() if loss == "flushed" else client.delete(KEY)
    wait_for(lambda: service.metric("datastorage_deadletter_missing") == 4, "the loss to show at once")
    postgres.start()
    wait_for(lambda: service.metric("datastorage_deadletter_lost_total") == 4, "the loss to be counted")
    wait_for(lambda: service.metric("datastorage_deadletter_missing") == 0, "the gauge to follow the counter")
