"""Parses and validates request bodies, so that PostgreSQL can store each event. An error lists all faults."""

import os
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from math import isfinite
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from envkit.datastorage.contract import AuditEvent

Stored = dict[str, Any]  # a validated event, with its event_id
MAX_FIELD_ERRORS = 100  # a batch can have 500 events with 25 faults each; the limit keeps the answer readable

_ONE = TypeAdapter(AuditEvent)
_MANY = TypeAdapter(list[AuditEvent])


class Invalid(Exception):
    """The body does not match the contract; ``field_errors`` maps each wrong field to a message."""

    def __init__(self, detail: str, field_errors: Mapping[str, str]) -> None:
        self.detail = detail
        self.field_errors = dict(field_errors)
        super().__init__(detail)


def parse_one(body: bytes, *, max_depth: int) -> Stored:
    """Return the event in ``body`` with a new event_id. Raises Invalid if the event has a fault."""
    event: Stored = _validated(_ONE, _parsed(body))
    _refuse_unstorable([("", event)], max_depth)
    return {"event_id": new_event_id()} | event


def parse_many(body: bytes, *, max_depth: int, max_events: int) -> list[Stored]:
    """Return the events of the array in ``body``, each with a new event_id. Raises Invalid if any event has a fault."""
    items = _parsed(body)
    if not isinstance(items, list):
        raise _body_fault("expected a JSON array of audit events")
    if not 1 <= len(items) <= max_events:
        raise _body_fault(f"expected 1 to {max_events} events, got {len(items)}")
    events = _validated(_MANY, items)
    _refuse_unstorable([(f"[{index}].", event) for index, event in enumerate(events)], max_depth)
    return [{"event_id": new_event_id()} | event for event in events]


def documents(events: Sequence[Stored]) -> list[bytes]:
    """Return each event as JSON, the form in which the queue stores it."""
    return [to_json(event) for event in events]


def document_array(events: Sequence[Stored]) -> bytes:
    """Return the events as one JSON array, for ``Database.insert``."""
    return to_json(events)


def new_event_id() -> str:
    """Return a version 7 UUID (RFC 9562). Such ids are ordered by time, so inserts change only one end of the index."""
    stamp = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    high = (stamp << 16) | 0x7000 | (random >> 68)
    low = (0b10 << 62) | (random & ((1 << 62) - 1))
    return str(UUID(int=(high << 64) | low))


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError as exc:
        raise _body_fault(f"not valid JSON: {exc}") from None


def _body_fault(message: str) -> Invalid:
    return Invalid(message, {"body": message})


def _validated(adapter: TypeAdapter[Any], value: object) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as exc:
        faults = [_named(error) for error in exc.errors(include_url=False, include_context=False)]
        raise _invalid(faults) from None


def _named(error: ErrorDetails) -> tuple[str, str]:
    name = "".join(f"[{part}]." if isinstance(part, int) else str(part) for part in error["loc"]).rstrip(".")
    if error["type"] == "missing":
        return name, f"{error['loc'][-1]} is required"
    if error["type"] == "dict_type":
        return name or "body", "expected a JSON object"
    return name or "body", error["msg"].removeprefix("Value error, ")


def _invalid(faults: Sequence[tuple[str, str]]) -> Invalid:
    kept = dict(faults[:MAX_FIELD_ERRORS])
    more = f"; the first {MAX_FIELD_ERRORS} are listed" if len(faults) > MAX_FIELD_ERRORS else ""
    plural = "" if len(faults) == 1 else "s"
    return Invalid(f"{len(faults)} field{plural} missing or invalid{more}", kept)


def _refuse_unstorable(events: Sequence[tuple[str, Mapping[str, Any]]], max_depth: int) -> None:
    """Raise Invalid for JSON that a jsonb column cannot store.

    Without this check, the service could queue such an event and answer 202, although PostgreSQL can never store it.
    """
    faults = [
        (prefix + field, fault)
        for prefix, event in events
        if _fault_within(event, max_depth + 1)
        for field, value in event.items()
        if (fault := _fault_within([value], max_depth + 1))
    ]
    if faults:
        raise _invalid(faults)


def _fault_within(container: object, max_depth: int) -> str | None:
    """Return a text about the first value in ``container`` that jsonb cannot store, or None.

    The search goes level by level, without recursion, so deep nesting cannot exhaust the stack.
    """
    level = [container]
    for _ in range(max_depth):
        deeper: list[Any] = []
        for item in level:
            for value in chain(item, item.values()) if type(item) is dict else item:  # type: ignore[attr-defined]  # checked by ``type(item)``
                kind = type(value)
                if kind is str:
                    if "\0" in value:
                        return "contains U+0000, which PostgreSQL cannot store"
                elif kind is dict or kind is list:
                    deeper.append(value)
                elif kind is float and not isfinite(value):
                    return "contains a number beyond the range of a double"
        if not deeper:
            return None
        level = deeper
    return "is nested too deeply"
