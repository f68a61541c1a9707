"""Translation of query parameters to SQL conditions, without any server."""

from datetime import UTC, datetime

import pytest

from envkit.datastorage import queries
from envkit.datastorage.events import Invalid

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def test_nothing_given_is_the_first_page_of_everything() -> None:
    query = queries.parse({})
    assert (query.where, query.limit, query.offset) == ("true", 50, 0)


def test_values_never_reach_the_sql_text() -> None:
    query = queries.parse({"correlation_id": "'; DROP TABLE audit_events; --", "detail_key": "k", "detail_value": "'"})
    assert "DROP" not in query.statement()
    assert query.where == "correlation_id = %(correlation_id)s AND event_data ->> %(detail_key)s = %(detail_value)s"


@pytest.mark.parametrize("limit", ["1", "1000"])
def test_limits_within_bounds(limit: str) -> None:
    assert queries.parse({"limit": limit}).limit == int(limit)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "ten"),
        ("limit", ""),
        ("limit", "1.0"),
        ("limit", "٣"),
        ("offset", "-1"),
        ("offset", "99999999999999999999"),
        ("since", "yesterday"),
        ("until", "2025-06-01"),
        ("since", ""),
        ("since", "0.5"),
        ("event_outcome", "maybe"),
        ("detail_key", ""),
        ("detail_key", "a.b"),
        ("detail_key", "a\n"),
        ("correlation_id", "a\0"),
    ],
)
def test_wrong_values_are_named(name: str, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        queries.parse({name: value})
    assert list(caught.value.field_errors) == [name]


def test_a_detail_value_needs_its_key() -> None:
    with pytest.raises(Invalid) as caught:
        queries.parse({"detail_value": "x"})
    assert caught.value.field_errors == {"detail_key": "is required with detail_value"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-06-01T12:00:00Z", NOW),
        ("2025-06-01T14:00:00+02:00", NOW),
        ("2025-06-01T14:00:00 02:00", NOW),  # a plus sign that was not percent-encoded
        ("2025-06-01t12:00:00z", NOW),
        ("24h", datetime(2025, 5, 31, 12, tzinfo=UTC)),
        ("999999999d", datetime.min.replace(tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_since_is_a_time_or_a_duration(text: str, expected: datetime) -> None:
    assert queries.parse({"since": text}, now=NOW).values["since"] == expected
