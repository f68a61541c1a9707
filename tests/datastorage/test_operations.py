"""Health, metrics, logs, start and shutdown."""

import io
import json
import logging
import signal
import threading
import time

import pytest
from prometheus_client import CollectorRegistry

from envkit.datastorage import logs
from envkit.datastorage.errors import ConfigurationError
from envkit.datastorage.metrics import Metrics
from envkit.datastorage.server import Runner
from envkit.datastorage.settings import Settings

from .conftest import Spawn, Start
from .migrations import apply_migrations, revert_migrations
from .servers import Postgres, Redis, wait_for
from .services import EVENTS, Threaded, event


def test_metrics_of_two_services_live_side_by_side() -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    Metrics(first).events.labels("stored").inc()
    Metrics(second)
    assert first.get_sample_value("datastorage_events_total", {"outcome": "stored"}) == 1
    assert second.get_sample_value("datastorage_events_total", {"outcome": "stored"}) == 0


def test_what_the_queue_holds_is_unknown_until_it_was_asked() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    assert str(registry.get_sample_value("datastorage_deadletter_depth")) == "nan"


def test_a_log_line_is_one_json_object() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    logger = logging.Logger("x")
    logger.addHandler(handler)
    logger.warning("two\nlines", extra={"correlation_id": "rr-1", "odd": {1, 2}})
    line = json.loads(stream.getvalue())
    assert (line["level"], line["message"], line["correlation_id"]) == ("warning", "two\nlines", "rr-1")


def test_a_taken_port_is_named() -> None:
    urls = {"database_url": "postgresql://127.0.0.1:1/x", "redis_url": "redis://127.0.0.1:1/0", "host": "127.0.0.1"}
    first = Runner(Settings.model_validate(urls | {"port": 0, "health_port": 0, "metrics_port": 0}))
    taken = {"port": first.ports["api"], "health_port": first.ports["health"], "metrics_port": 0}
    with pytest.raises(ConfigurationError) as caught:
        Runner(Settings.model_validate(urls | taken))
    assert len(caught.value.faults) == 2
    assert f"api port {first.ports['api']} on 127.0.0.1: Address already in use" in caught.value.faults[0]
    first.close()


@pytest.mark.integration
def test_a_running_service_answers_on_three_ports(service: Threaded) -> None:
    assert service.ask("GET", "/healthz", port="health").status == 200
    assert service.ask("GET", "/readyz", port="health").json()["status"] == "ready"
    assert service.ask("GET", "/readyz").status == 200
    assert service.ask("GET", "/health").status == 200
    assert service.ask("GET", "/openapi.json").json()["openapi"].startswith("3.1")
    assert service.ask("GET", "/metrics", port="metrics").status == 200


@pytest.mark.integration
@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", EVENTS, 405), ("PUT", EVENTS, 405)]
)
def test_every_error_is_a_problem_document(service: Threaded, method: str, path: str, status: int) -> None:
    answer = service.ask(method, path)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["status"], answer.json()["instance"]) == (status, path)


@pytest.mark.integration
def test_other_media_are_refused(service: Threaded) -> None:
    assert service.ask("POST", EVENTS, body=b"a=1", headers={"Content-Type": "text/plain"}).status == 415


@pytest.mark.integration
def test_metrics_count_requests_and_events_by_outcome(service: Threaded) -> None:
    service.post(event())
    service.post({})
    labels = {"method": "POST", "route": EVENTS}
    assert service.metric("datastorage_http_requests_total", **labels, status="201") == 1
    assert service.metric("datastorage_http_requests_total", **labels, status="400") == 1
    assert service.metric("datastorage_http_request_duration_seconds_count", **labels) == 2
    assert service.metric("datastorage_events_total", outcome="stored") == 1
    assert service.metric("datastorage_database_up") == 1


@pytest.mark.integration
def test_several_services_in_one_process_keep_apart(start: Start) -> None:
    first, second = start(), start()
    first.post(event())
    assert first.metric("datastorage_events_total", outcome="stored") == 1
    assert second.metric("datastorage_events_total", outcome="stored") == 0
    assert second.query()["pagination"]["total"] == 1


@pytest.mark.integration
def test_ready_says_what_is_missing(start: Start, postgres: Postgres, redis_queue: Redis, database: str) -> None:
    service = start()
    revert_migrations(postgres, database)
    redis_queue.stop()
    answer = service.ask("GET", "/readyz", port="health")
    assert answer.status == 503
    assert answer.json()["checks"]["postgresql"] == "the table audit_events does not exist: apply the migrations first"
    assert answer.json()["checks"]["redis"].startswith("Redis does not answer")
    apply_migrations(postgres, database)
    redis_queue.start()
    service.wait_until_ready()


@pytest.mark.integration
def test_a_service_starts_before_what_it_needs(start: Start, postgres: Postgres, redis_queue: Redis) -> None:
    postgres.stop()
    redis_queue.stop()
    service = start(ready=False)
    assert service.ask("GET", "/healthz", port="health").status == 200
    assert not service.is_ready()
    postgres.start()
    redis_queue.start()
    service.wait_until_ready()
    assert service.post(event()).status == 201


@pytest.mark.integration
def test_the_log_carries_the_correlation_id(spawn: Spawn) -> None:
    service = spawn()
    answer = service.ask("POST", EVENTS, json=event(correlation_id="rr-42"), headers={"X-Request-ID": "req-1"})
    assert answer.headers["x-request-id"] == "req-1"
    assert service.end() == 0
    line = next(line for line in service.log if line["message"] == "request" and line["method"] == "POST")
    assert (line["correlation_id"], line["request_id"], line["status"]) == ("rr-42", "req-1", 201)
    assert line["event_id"] == answer.json()["event_id"]


@pytest.mark.integration
def test_sigterm_lets_a_request_under_way_end(spawn: Spawn, postgres: Postgres, database: str) -> None:
    service = spawn(DATABASE_TIMEOUT="5")
    postgres.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.7); RETURN NEW; END$$",
        database=database,
    )
    postgres.execute(
        "CREATE TRIGGER slow BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION slow()", database=database
    )
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(service.post(event()).status))
    thread.start()
    wait_for(lambda: service.metric("datastorage_requests_in_flight") == 1, "the request to be under way")
    started = time.monotonic()
    assert service.end(signal.SIGTERM) == 0
    assert time.monotonic() - started < 5
    thread.join()
    assert statuses == [201]
    assert postgres.execute("SELECT count(*) FROM audit_events", database=database) == [(1,)]


@pytest.mark.integration
def test_drained_says_when_redis_may_be_flushed(start: Start, postgres: Postgres) -> None:
    service = start(database_timeout=0.4)
    assert service.ask("GET", "/drained", port="health").status == 200
    postgres.stop()
    service.post(event())
    answer = service.ask("GET", "/drained", port="health")
    assert answer.status == 503
    assert answer.json() == {"status": "waiting", "waiting": 1, "parked": 0, "promised": 1}
    postgres.start()
    wait_for(lambda: service.ask("GET", "/drained", port="health").status == 200, "the queue to be drained")
    assert service.query()["pagination"]["total"] == 1
