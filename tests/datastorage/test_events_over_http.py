"""Create, batch and query against a real PostgreSQL."""

import json
from typing import Any
from uuid import UUID

import pytest

from .conftest import Start
from .servers import Postgres
from .services import BATCH, EVENTS, Threaded, event

pytestmark = pytest.mark.integration

EVERY_FIELD = event(
    event_timestamp="2025-06-01T14:00:00.123456789+02:00",
    event_data={"nested": [1, 2.5, None, True, {"k": "\u00e9\u4e16"}], "empty": {}},
    actor_type="service",
    actor_id="gateway",
    actor_ip="2001:db8::1",
    resource_type="pod",
    resource_id="default/web-0",
    parent_event_id="0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
    parent_event_date="2025-05-31",
    namespace="production",
    cluster_id="kind",
    severity="critical",
    duration_ms=12,
    error_code="E1",
    error_message='it\'s broken\n"quoted"',
    retention_days=2555,
    is_sensitive=True,
)


def test_an_event_comes_back_as_it_was_sent(service: Threaded) -> None:
    answer = service.post(EVERY_FIELD)
    assert answer.status == 201
    created = answer.json()
    assert UUID(created["event_id"]).version == 7
    assert created["event_timestamp"] == EVERY_FIELD["event_timestamp"]
    assert created["message"]
    found = service.query(correlation_id="rr-2025-001")
    assert found["data"] == [EVERY_FIELD | {"event_id": created["event_id"]}]
    assert found["pagination"] == {"limit": 50, "offset": 0, "total": 1, "has_more": False}


@pytest.mark.parametrize("data", [None, 0, -1.5, "text", [], {}, False, [[[1]]], {"": ""}, "\\u0000", 10**30])
def test_event_data_is_any_json(service: Threaded, data: Any) -> None:
    assert service.post(event(event_data=data)).status == 201
    assert service.query()["data"][0]["event_data"] == data


@pytest.mark.parametrize(
    "time",
    ["2025-06-01T12:00:00Z", "2025-06-01T14:00:00+02:00", "2025-06-01T01:30:00.5-10:30", "2025-06-01T12:00:00+00:00"],
)
def test_times_keep_their_zone_and_their_instant(service: Threaded, time: str) -> None:
    service.post(event(event_timestamp=time))
    page = service.query(since="2025-06-01T12:00:00Z", until="2025-06-01T12:00:00.5Z")
    assert [found["event_timestamp"] for found in page["data"]] == [time]


def test_a_batch_is_stored_whole(service: Threaded) -> None:
    answer = service.post([event(correlation_id=f"rr-{i}") for i in range(500)], BATCH)
    assert answer.status == 201
    ids = answer.json()["event_ids"]
    assert len(set(ids)) == 500
    assert service.query(limit=1)["pagination"]["total"] == 500
    assert service.query(correlation_id="rr-7")["data"][0]["event_id"] == ids[7]


def test_a_batch_with_one_fault_is_refused_whole(service: Threaded) -> None:
    answer = service.post([event(), event(event_outcome="maybe"), event(version=...)], BATCH)
    assert answer.status == 400
    assert set(answer.json()["field_errors"]) == {"[1].event_outcome", "[2].version"}
    assert service.query()["pagination"]["total"] == 0


@pytest.mark.parametrize("count", [0, 501])
def test_a_batch_has_1_to_500_events(service: Threaded, count: int) -> None:
    answer = service.post([event()] * count, BATCH)
    assert answer.status == 400
    assert answer.json()["field_errors"] == {"body": f"expected 1 to 500 events, got {count}"}


FILTERS = {
    "correlation_id": "rr-other",
    "event_type": "gateway.signal.dropped",
    "event_category": "workflow",
    "event_outcome": "pending",
    "severity": "low",
}


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_finds_its_own(service: Threaded, name: str) -> None:
    service.post([event(severity="high"), event(severity="high") | {name: FILTERS[name]}], BATCH)
    assert [found[name] for found in service.query(**{name: FILTERS[name]})["data"]] == [FILTERS[name]]


def test_filters_add_up(service: Threaded) -> None:
    service.post([event(), event(severity="low"), event(severity="low", event_outcome="failure")], BATCH)
    assert service.query(severity="low", event_outcome="failure")["pagination"]["total"] == 1


@pytest.mark.parametrize(
    ("key", "value", "total"),
    [
        ("signal", "OOMKilled", 1),
        ("signal", "other", 0),
        ("signal", None, 1),
        ("count", "3", 1),
        ("ok", "true", 1),
        ("no", None, 0),
    ],
)
def test_details_are_filtered_by_key_and_value(service: Threaded, key: str, value: str | None, total: int) -> None:
    service.post(
        [event(event_data={"signal": "OOMKilled", "count": 3, "ok": True}), event(event_data=["signal"])], BATCH
    )
    given = {"detail_key": key} | ({} if value is None else {"detail_value": value})
    assert service.query(**given)["pagination"]["total"] == total


def test_since_takes_a_duration(service: Threaded) -> None:
    service.post(event())
    assert service.query(since="24h")["pagination"]["total"] == 0
    assert service.query(since="9000d")["pagination"]["total"] == 1


def test_pages_neither_repeat_nor_skip(service: Threaded) -> None:
    service.post([event() for _ in range(25)], BATCH)  # all have one timestamp, so only the id orders them
    pages = [service.query(limit=10, offset=offset) for offset in (0, 10, 20, 30)]
    assert [len(page["data"]) for page in pages] == [10, 10, 5, 0]
    assert [page["pagination"]["has_more"] for page in pages] == [True, True, False, False]
    assert {page["pagination"]["total"] for page in pages} == {25}
    assert len({found["event_id"] for page in pages for found in page["data"]}) == 25


def test_the_newest_come_first(service: Threaded) -> None:
    times = ["2025-06-01T12:00:00Z", "2025-06-01T15:00:00+02:00", "2025-06-01T12:30:00Z"]
    service.post([event(event_timestamp=time) for time in times], BATCH)
    assert [found["event_timestamp"] for found in service.query()["data"]] == [times[1], times[2], times[0]]


def test_every_wrong_parameter_is_named(service: Threaded) -> None:
    wrong = {
        "limit": "0",
        "offset": "-1",
        "since": "yesterday",
        "until": "2025-01-01",
        "event_outcome": "x",
        "detail_key": "a b",
    }
    answer = service.ask("GET", EVENTS, fields=wrong)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()["field_errors"]) == set(wrong)


def test_a_page_too_large_to_hold_is_refused(start: Start) -> None:
    service = start(max_page_bytes=2000)
    service.post([event(event_data="x" * 900) for _ in range(4)], BATCH)
    assert (
        service.ask("GET", EVENTS, fields={"limit": "3"})
        .json()["field_errors"]["limit"]
        .startswith("the page has 2706")
    )
    assert len(service.query(limit=2)["data"]) == 2


def test_a_query_by_correlation_id_uses_the_index(service: Threaded, postgres: Postgres, database: str) -> None:
    for _ in range(6):
        service.post([event(correlation_id=f"rr-{i}") for i in range(500)], BATCH)
    postgres.execute("ANALYZE audit_events", database=database)
    plan = (
        "EXPLAIN SELECT * FROM audit_events WHERE correlation_id = 'rr-7' ORDER BY event_timestamp DESC, event_id DESC"
    )
    assert "audit_events_by_correlation" in json.dumps(postgres.execute(plan, database=database))
