"""Validation of events, without any server."""

import json
import time
from typing import Any
from uuid import UUID

import pytest

from envkit.datastorage import events

from .services import event


def parse(content: Any) -> dict[str, Any]:
    return events.parse_one(json.dumps(content).encode(), max_depth=8)


def faults_of(content: Any) -> dict[str, str]:
    with pytest.raises(events.Invalid) as caught:
        parse(content)
    return caught.value.field_errors


def test_every_missing_field_is_named_at_once() -> None:
    required = event()
    assert faults_of({}) == {name: f"{name} is required" for name in required}


@pytest.mark.parametrize(
    ("field", "length"),
    [("version", 20), ("event_type", 100), ("event_action", 50), ("correlation_id", 255), ("actor_ip", 45)],
)
def test_texts_have_their_contract_length(field: str, length: int) -> None:
    parse(event() | {field: "é" * length})
    assert list(faults_of(event() | {field: "é" * (length + 1)})) == [field]


@pytest.mark.parametrize("field", ["version", "event_type", "event_action", "correlation_id"])
def test_required_texts_are_not_empty(field: str) -> None:
    assert list(faults_of(event() | {field: ""})) == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 1),
        ("event_category", "Gateway"),
        ("event_outcome", "unknown"),
        ("event_timestamp", "2025-06-01T12:00:00"),
        ("event_timestamp", "2025-06-01 12:00:00Z"),
        ("event_timestamp", "2025-02-30T12:00:00Z"),
        ("event_timestamp", "2025-06-01T12:00:00+16:00"),
        ("event_timestamp", "0000-01-01T00:00:00Z"),
        ("event_timestamp", 1748779200),
        ("parent_event_id", "not-a-uuid"),
        ("parent_event_date", "2025-13-01"),
        ("duration_ms", -1),
        ("duration_ms", 1.5),
        ("duration_ms", True),
        ("duration_ms", "12"),
        ("retention_days", 0),
        ("is_sensitive", "yes"),
        ("actor_id", 5),
    ],
)
def test_wrong_values_are_refused_by_field(field: str, value: object) -> None:
    assert list(faults_of(event() | {field: value})) == [field]


def test_null_is_a_value_for_event_data_and_absence_for_optional_fields() -> None:
    parsed = parse(event(event_data=None, severity=None))
    assert parsed["event_data"] is None
    assert parsed["severity"] is None


def test_unknown_fields_and_a_given_event_id_are_ignored() -> None:
    parsed = parse(event(event_id="mine", colour="red"))
    assert parsed["event_id"] != "mine"
    assert "colour" not in parsed


def test_whole_numbers_may_be_written_with_a_point() -> None:
    assert parse(event(duration_ms=3.0))["duration_ms"] == 3


@pytest.mark.parametrize("where", ["event_data", "correlation_id", "actor_id"])
def test_what_jsonb_cannot_hold_is_refused(where: str) -> None:
    assert "U+0000" in faults_of(event() | {where: "a\0b"})[where]


@pytest.mark.parametrize("data", [{"a\0": 1}, [["\0"]], {"a": {"b": ["\0"]}}])
def test_nul_is_found_at_any_depth(data: object) -> None:
    assert "U+0000" in faults_of(event(event_data=data))["event_data"]


@pytest.mark.parametrize("text", [b"NaN", b"[1", b"", b"1 2", b'"\xff"', b'"\\ud800"', b"[" * 100_000])
def test_broken_json_is_refused(text: bytes) -> None:
    with pytest.raises(events.Invalid) as caught:
        events.parse_one(text, max_depth=8)
    assert caught.value.field_errors["body"].startswith("not valid JSON")


def test_numbers_beyond_a_double_are_refused_and_not_silently_null() -> None:
    body = json.dumps(event(event_data="X")).replace('"X"', "[1e400]").encode()
    with pytest.raises(events.Invalid) as caught:
        events.parse_one(body, max_depth=8)
    assert "double" in caught.value.field_errors["event_data"]


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> Any:
        return [nested(depth - 1)] if depth else 1

    parse(event(event_data=nested(8)))
    assert faults_of(event(event_data=nested(9)))["event_data"] == "is nested too deeply"


def test_a_batch_names_the_event_and_the_field() -> None:
    body = json.dumps([event(), event(version="") | {"event_outcome": 1}, 7]).encode()
    with pytest.raises(events.Invalid) as caught:
        events.parse_many(body, max_depth=8, max_events=500)
    assert set(caught.value.field_errors) == {"[1].version", "[1].event_outcome", "[2]"}


def test_an_answer_lists_a_bounded_number_of_faults() -> None:
    with pytest.raises(events.Invalid) as caught:
        events.parse_many(json.dumps([{}] * 500).encode(), max_depth=8, max_events=500)
    assert len(caught.value.field_errors) == events.MAX_FIELD_ERRORS
    assert caught.value.detail.startswith("4000 fields missing or invalid")


def test_event_ids_are_version_7_and_ordered_by_time() -> None:
    first = events.new_event_id()
    time.sleep(0.002)
    second = events.new_event_id()
    assert UUID(first).version == UUID(second).version == 7
    assert UUID(first).variant == "specified in RFC 4122"
    assert first < second
    assert abs((UUID(first).int >> 80) / 1000 - time.time()) < 5
