"""Builds the OpenAPI document. The schema of an event comes from the type with which the service validates requests."""

from functools import cache
from typing import Any

from pydantic import TypeAdapter

from envkit.datastorage import durations, problems, queries
from envkit.datastorage.contract import TIME_SCHEMA, UUID_SCHEMA, AuditEvent

Schema = dict[str, Any]

EVENTS = "/api/v1/audit/events"
BATCH = f"{EVENTS}/batch"
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_REFUSALS = {
    "400": "The request breaks the contract; field_errors lists every fault.",
    "401": "The request has no valid bearer token.",
    "403": "The owner of the token does not have the right to do this.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "429": "The service has reached its limit of requests; retry after Retry-After seconds.",
    "500": "The service has an internal error.",
    "503": "Neither PostgreSQL nor the queue stored the events; retry after Retry-After seconds.",
}
_RETRIED = {"429", "503"}


@cache
def document(*, max_batch_events: int, bearer: bool) -> Schema:
    """Return the OpenAPI 3.1 document. With ``bearer``, all of /api/v1 requires a token."""
    operations = {
        EVENTS: {"post": _create(), "get": _query()},
        BATCH: {"post": _create_batch(max_batch_events)},
        "/readyz": {"get": _ready("readyz")},
        "/health": {"get": _ready("health")},
    }
    if bearer:
        for path in (EVENTS, BATCH):
            for operation in operations[path].values():
                operation["security"] = [{"bearer": []}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DataStorage",
            "version": "1",
            "description": "201: committed. 202: queued, and written once, later. Any other status: not stored.",
        },
        "paths": operations,
        "components": {"schemas": _schemas(), "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


def _create() -> Schema:
    return _operation(
        "createAuditEvent",
        "Store one event.",
        {"201": ("Committed.", _ref("Created")), "202": ("Queued.", _ref("Accepted"))},
        body=_ref("AuditEvent"),
    )


def _create_batch(most: int) -> Schema:
    return _operation(
        "createAuditEventsBatch",
        "Store events, all or none.",
        {"201": ("Committed.", _ref("BatchCreated")), "202": ("Queued.", _ref("BatchAccepted"))},
        body={"type": "array", "minItems": 1, "maxItems": most, "items": _ref("AuditEvent")},
    )


def _query() -> Schema:
    operation = _operation(
        "queryAuditEvents", "Find events that match all filters, newest first.", {"200": ("A page.", _ref("Page"))}
    )
    operation["parameters"] = [
        {"name": name, "in": "query", "description": description, "schema": schema}
        for name, (description, schema) in _parameters().items()
    ]
    return operation


def _parameters() -> dict[str, tuple[str, Schema]]:
    moment: Schema = {"anyOf": [TIME_SCHEMA, _text(durations.PATTERN)]}
    outcome = {"type": "string", "enum": list(queries.OUTCOMES)}
    return {
        **{name: (f"The event's {name}.", outcome if name == "event_outcome" else _TEXT) for name in queries.EQUAL_TO},
        "since": ("The earliest event time, or a duration before now.", moment),
        "until": ("The latest event time, or a duration before now.", moment),
        "limit": (
            "Maximum number of events in the page.",
            {"type": "integer", "minimum": 1, "maximum": queries.MAX_LIMIT, "default": queries.DEFAULT_LIMIT},
        ),
        "offset": ("Number of events to skip before the page.", _COUNT | {"maximum": queries.MAX_OFFSET, "default": 0}),
        "detail_key": ("A key at the top level of event_data.", _text(queries.DETAIL_KEY)),
        "detail_value": ("The value of detail_key, as text; requires detail_key.", _TEXT),
    }


def _ready(name: str) -> Schema:
    content = {"application/json": {"schema": _ref("Readiness")}}
    responses = {
        "200": {"description": "PostgreSQL and Redis answer, and no shutdown has begun.", "content": content},
        "503": {"description": "Not ready; checks has the reason.", "content": content},
        "429": _problem("429"),
    }
    return {"operationId": name, "summary": "Check whether the service can work.", "responses": responses}


def _operation(name: str, summary: str, answers: dict[str, tuple[str, Schema]], body: Schema | None = None) -> Schema:
    without_body = {"408", "413", "415"} if body is None else set()
    responses = {
        status: {"description": description, "content": {"application/json": {"schema": schema}}}
        for status, (description, schema) in answers.items()
    } | {status: _problem(status) for status in _REFUSALS if status not in without_body}
    operation: Schema = {"operationId": name, "summary": summary, "responses": responses}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def _problem(status: str) -> Schema:
    answer: Schema = {
        "description": _REFUSALS[status],
        "content": {problems.MEDIA_TYPE: {"schema": _ref("Problem")}},
    }
    if status in _RETRIED:
        answer["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer"}}}
    return answer


def _schemas() -> Schema:
    event = TypeAdapter(AuditEvent).json_schema()
    created = {"event_id": UUID_SCHEMA, "event_timestamp": TIME_SCHEMA, "message": _TEXT}
    batch = {"event_ids": {"type": "array", "items": UUID_SCHEMA}, "message": _TEXT}
    accepted: Schema = {"status": {"const": "accepted"}}
    pagination = {"limit": _COUNT, "offset": _COUNT, "total": _COUNT, "has_more": {"type": "boolean"}}
    stored = _object({**event["properties"], "event_id": UUID_SCHEMA}, required=[*event["required"], "event_id"])
    return {
        "AuditEvent": event,
        "StoredEvent": stored,
        "Created": _object(created),
        "Accepted": _object(created | accepted),
        "BatchCreated": _object(batch),
        "BatchAccepted": _object(batch | accepted),
        "Page": _object({"data": {"type": "array", "items": _ref("StoredEvent")}, "pagination": _object(pagination)}),
        "Readiness": _object({"status": {"enum": ["ready", "not ready"]}, "checks": {"type": "object"}}),
        "Problem": _object(
            {
                "type": {"type": "string", "format": "uri"},
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT,
                "instance": _TEXT,
                "field_errors": {"type": "object", "additionalProperties": _TEXT},
            },
            required=["type", "title", "status", "detail", "instance"],
        ),
    }


def _object(properties: Schema, required: list[str] | None = None) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": pattern}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
