"""The guarantees of each status under load, while servers and the service are stopped, paused and killed."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Spawn, Start
from .load import Load
from .servers import Postgres, Redis, Server, wait_for
from .services import BATCH, Client, Threaded, event

pytestmark = pytest.mark.integration
FAST = {"database_timeout": 0.4, "redis_timeout": 0.3}
FAST_VARIABLES = {name.upper(): str(value) for name, value in FAST.items()}
ENDS: list[Callable[[Server], None]] = [Server.stop, Server.pause, Server.kill]
by_every_end = pytest.mark.parametrize("end", ENDS, ids=["stopped", "paused", "killed"])


def back(server: Server) -> None:
    server.resume()
    server.start()


def settle(client: Client, postgres: Postgres) -> None:
    """Wait until the queue is empty and late writes of refused events are removed."""
    client.wait_until_ready()
    wait_for(lambda: client.ask("GET", "/drained", port="health").status == 200, "every promise to be settled", 60)


@by_every_end
def test_postgresql_ends_in_the_middle(
    start: Start, postgres: Postgres, database: str, end: Callable[[Server], None]
) -> None:
    service = start(**FAST)
    with Load(service).running() as load:
        load.wait_for_more(201)
        getattr(postgres, end.__name__)()
        load.wait_for_more(202)
        back(postgres)
        load.wait_for_more(201)
    settle(service, postgres)
    assert load.broken_promises(postgres, database) == []
    assert service.metric("datastorage_deadletter_lost_total") == 0


@by_every_end
def test_both_end_in_the_middle(
    start: Start, postgres: Postgres, redis_queue: Redis, database: str, end: Callable[[Server], None]
) -> None:
    service = start(**FAST)
    with Load(service).running() as load:
        load.wait_for_more(201)
        getattr(postgres, end.__name__)()
        getattr(redis_queue, end.__name__)()
        load.wait_for_more(503)
        back(redis_queue)
        load.wait_for_more(202)
        back(postgres)
        load.wait_for_more(201)
    settle(service, postgres)
    time.sleep(0.5)  # the drain removes late writes
    assert load.broken_promises(postgres, database) == []
    assert service.metric("datastorage_deadletter_lost_total") == 0


def test_a_paused_redis_does_not_write_what_was_refused(
    start: Start, postgres: Postgres, redis_queue: Redis, database: str
) -> None:
    service = start(**FAST)
    postgres.stop()
    service.post(event())
    redis_queue.pause()
    assert service.post([event(correlation_id="refused")] * 3, BATCH).status == 503
    redis_queue.resume()
    postgres.start()
    settle(service, postgres)
    wait_for(lambda: service.metric("datastorage_withdrawn_events_total") == 3, "the late batch to be removed")
    assert service.query(correlation_id="refused")["pagination"]["total"] == 0


@by_every_end
def test_redis_alone_is_not_missed_while_postgresql_works(
    start: Start, redis_queue: Redis, end: Callable[[Server], None]
) -> None:
    service = start(**FAST)
    getattr(redis_queue, end.__name__)()
    assert [service.post(event()).status for _ in range(5)] == [201] * 5
    assert not service.is_ready()


@pytest.mark.parametrize("path", ["healthy", "draining"])
def test_the_service_is_killed_in_the_middle(spawn: Spawn, postgres: Postgres, database: str, path: str) -> None:
    first = spawn(**FAST_VARIABLES)
    with Load(first).running() as load:
        load.wait_for_more(201)
        if path == "draining":
            postgres.kill()
            load.wait_for_more(202, more=60)
            postgres.start()
            wait_for(lambda: first.metric("datastorage_deadletter_drained_total") > 0, "the drain to be at work")
        first.end(signal.SIGKILL)
        load.wait_for_more(0, more=3)
    second = spawn(**FAST_VARIABLES)
    settle(second, postgres)
    assert load.count(0) > 0
    assert load.broken_promises(postgres, database) == []


def test_everything_is_killed_but_redis(spawn: Spawn, postgres: Postgres, database: str) -> None:
    first = spawn(**FAST_VARIABLES)
    with Load(first).running() as load:
        load.wait_for_more(201)
        postgres.kill()
        load.wait_for_more(202)
        first.end(signal.SIGKILL)
    postgres.start()
    settle(spawn(**FAST_VARIABLES), postgres)
    assert load.broken_promises(postgres, database) == []


def test_a_queue_lost_in_the_middle_is_counted_exactly(
    start: Start, postgres: Postgres, redis_queue: Redis, database: str
) -> None:
    service = start(**FAST)
    with Load(service).running() as load:
        load.wait_for_more(201)
        postgres.stop()
        load.wait_for_more(202)
        redis_queue.kill()
        redis_queue.start()
        load.wait_for_more(202)
        postgres.start()
        load.wait_for_more(201)
    settle(service, postgres)
    lost = int(service.metric("datastorage_deadletter_lost_total"))
    assert lost > 0
    assert load.broken_promises(postgres, database, lost=lost) == []


def test_an_evicted_queue_is_counted(start: Start, postgres: Postgres, redis_queue: Redis, database: str) -> None:
    service: Threaded = start(**FAST)
    postgres.stop()
    ids = [service.post(event(event_data="x" * 1000)).json()["event_id"] for _ in range(20)]
    with redis_queue.client() as client:
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 200_000)
        for number in range(2000):  # keys of the suite make Redis evict the queue
            client.set(f"other-{number}", "x" * 1000)
            if not client.exists("datastorage:deadletter"):
                break
        assert not client.exists("datastorage:deadletter")
    postgres.start()
    wait_for(lambda: service.metric("datastorage_deadletter_lost_total") == len(ids), "the eviction to be counted")


def test_a_loss_is_noticed_by_the_next_process_too(
    spawn: Spawn, postgres: Postgres, redis_queue: Redis, tmp_path: Path
) -> None:
    variables = FAST_VARIABLES | {"LEDGER_PATH": str(tmp_path / "ledger")}
    first = spawn(**variables)
    postgres.stop()
    ids = [first.post(event()).json()["event_id"] for _ in range(3)]
    first.end(signal.SIGKILL)
    with redis_queue.client() as client:
        client.flushall()
    postgres.start()
    second = spawn(**variables)
    wait_for(lambda: second.metric("datastorage_deadletter_lost_total") == 3, "the loss to be counted")
    second.end()
    lines = [line for line in second.log if line["message"] == "Redis lost a queued event"]
    assert sorted(line["event_id"] for line in lines) == sorted(ids)
    assert {line["correlation_id"] for line in lines} == {"rr-2025-001"}
