"""Builds SQL from the parameters of a query. Values are always SQL parameters, never part of the SQL text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from envkit.datastorage import durations
from envkit.datastorage.contract import FIELDS, RFC3339
from envkit.datastorage.events import Invalid

DEFAULT_LIMIT, MAX_LIMIT = 50, 1000
MAX_OFFSET = 2**63 - 1  # PostgreSQL's bigint
DETAIL_KEY = r"^[a-zA-Z0-9_]+$"
OUTCOMES = ("success", "failure", "pending")
EQUAL_TO = ("correlation_id", "event_type", "event_category", "event_outcome", "severity")
TIMES = {"since": ">=", "until": "<="}

_COLUMNS = ", ".join(
    {"event_timestamp": "event_timestamp_given", "event_data": "event_data::text AS event_data"}.get(name, name)
    for name in FIELDS
)
# One statement has one snapshot, so the total and the page agree. It adds up the page's bytes before it sends a row.
_PAGE = """
WITH page AS (
    SELECT event_timestamp AS instant, event_id, {columns} FROM audit_events WHERE {where}
    ORDER BY event_timestamp DESC, event_id DESC LIMIT %(limit)s OFFSET %(offset)s
)
SELECT counted.total, size.bytes, page.*
FROM (SELECT count(*) AS total FROM audit_events WHERE {where}) AS counted
CROSS JOIN (SELECT coalesce(sum(octet_length(event_data)), 0) AS bytes FROM page) AS size
LEFT JOIN page ON size.bytes <= %(max_bytes)s
ORDER BY instant DESC, event_id DESC
"""


@dataclass(frozen=True)
class EventQuery:
    """A valid query: its conditions, and the limit and offset of the page."""

    where: str
    values: Mapping[str, object]
    limit: int
    offset: int

    def statement(self) -> str:
        """Return the SQL text; ``parameters`` returns the values for it."""
        return _PAGE.format(columns=_COLUMNS, where=self.where)

    def parameters(self, max_bytes: int) -> dict[str, object]:
        """Return the values of the statement, which returns no rows for more than ``max_bytes`` of event_data."""
        return {**self.values, "limit": self.limit, "offset": self.offset, "max_bytes": max_bytes}


def parse(given: Mapping[str, str], now: datetime | None = None) -> EventQuery:
    """Return the query that the parameters describe. Raises Invalid with all faults.

    An empty filter such as ``event_type=`` counts as absent. ``since`` and ``until`` accept a time with its zone, or a
    duration before ``now``, such as 24h.
    """
    faults = {name: "contains U+0000" for name, value in given.items() if "\0" in value}
    values: dict[str, object] = {name: given[name] for name in EQUAL_TO if given.get(name)}
    conditions = [f"{name} = %({name})s" for name in values]
    if given.get("event_outcome") and given["event_outcome"] not in OUTCOMES:
        faults["event_outcome"] = f"expected one of {', '.join(OUTCOMES)}"
    for name, operator in TIMES.items():
        if name in given:
            values[name] = _moment(name, given[name], now or datetime.now(UTC), faults)
            conditions.append(f"event_timestamp {operator} %({name})s")
    conditions += _detail(given, values, faults)
    limit = _integer("limit", given, DEFAULT_LIMIT, 1, MAX_LIMIT, faults)
    offset = _integer("offset", given, 0, 0, MAX_OFFSET, faults)
    if faults:
        plural = "" if len(faults) == 1 else "s"
        raise Invalid(f"{len(faults)} query parameter{plural} invalid", faults)
    return EventQuery(" AND ".join(conditions) or "true", values, limit, offset)


def _detail(given: Mapping[str, str], values: dict[str, object], faults: dict[str, str]) -> list[str]:
    """Return the SQL conditions of ``detail_key`` and ``detail_value``; add faults to ``faults``.

    ``detail_key`` alone matches events that have the key. With ``detail_value``, the value as text must be equal.
    """
    key, value = given.get("detail_key"), given.get("detail_value")
    if key is None:
        if value is not None:
            faults["detail_key"] = "is required with detail_value"
        return []
    if not re.fullmatch(DETAIL_KEY, key):
        faults["detail_key"] = f"expected {DETAIL_KEY}"
    values["detail_key"] = key
    if value is None:
        return ["event_data -> %(detail_key)s IS NOT NULL"]
    values["detail_value"] = value
    return ["event_data ->> %(detail_key)s = %(detail_value)s"]


def _integer(name: str, given: Mapping[str, str], default: int, least: int, most: int, faults: dict[str, str]) -> int:
    text = given.get(name)
    if text is None:
        return default
    if re.fullmatch(r"[0-9]{1,19}", text) and least <= int(text) <= most:
        return int(text)
    faults[name] = f"expected an integer from {least} to {most}"
    return default


def _moment(name: str, text: str, now: datetime, faults: dict[str, str]) -> datetime:
    """Return the instant that ``text`` names, or add a fault and return ``now``.

    A plus sign that was not percent-encoded arrives as a space; the function accepts the space.
    """
    text = re.sub(r" (?=[0-9]{2}:[0-9]{2}$)", "+", text)
    try:
        if re.match(RFC3339, text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        return now - timedelta(seconds=durations.seconds(text))
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)  # the time is before the year 1
    except ValueError:
        faults[name] = f"expected a time with its zone, such as 2025-01-31T12:00:00Z, or {durations.EXPECTED}"
        return now
