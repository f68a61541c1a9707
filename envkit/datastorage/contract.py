"""The type of an audit event: names, types and limits. The service generates its OpenAPI document from this type."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema
from typing_extensions import TypedDict  # pydantic needs this TypedDict before Python 3.12

# PostgreSQL refuses a time zone that is 16 hours or more from UTC. Go writes up to nine digits of a second's fraction.
RFC3339 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-](0[0-9]|1[0-5]):[0-5][0-9])$"
)
_IS_RFC3339 = re.compile(RFC3339).fullmatch
_IS_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch

Category = Literal[
    "gateway",
    "notification",
    "analysis",
    "aiagent",
    "signalprocessing",
    "workflow",
    "workflowexecution",
    "orchestration",
    "approval",
    "effectiveness",
    "actiontype",
    "apifrontend",
    "security",
    "agentsession",
]
Outcome = Literal["success", "failure", "pending"]


def _real_time(text: str) -> str:
    """Return ``text`` unchanged.

    Raises ValueError if it is not RFC 3339, if PostgreSQL cannot store it, or if the calendar has no such time.
    """
    if not _IS_RFC3339(text):
        raise ValueError("expected an RFC 3339 time with its zone, such as 2025-01-31T12:00:00Z")
    datetime.fromisoformat(text.upper())
    return text


def _real_uuid(text: str) -> str:
    if not _IS_UUID(text):
        raise ValueError("expected a UUID, such as 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")
    return text.lower()


def _real_day(text: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return _real_time(text)
    return date.fromisoformat(text).isoformat()


def _whole_number(value: object) -> object:
    """Return a float such as 3.0 as an int, and any other value unchanged: in JSON, 3.0 and 3 are the same number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(least: int, most: int) -> Any:
    return Field(min_length=least, max_length=most)


TIME_SCHEMA: dict[str, object] = {"type": "string", "format": "date-time", "pattern": RFC3339}
DAY_SCHEMA: dict[str, object] = {"anyOf": [{"type": "string", "format": "date"}, TIME_SCHEMA]}
UUID_SCHEMA: dict[str, object] = {"type": "string", "format": "uuid"}

Time = Annotated[str, AfterValidator(_real_time), WithJsonSchema(TIME_SCHEMA)]
Day = Annotated[str, AfterValidator(_real_day), WithJsonSchema(DAY_SCHEMA)]
Uuid = Annotated[str, AfterValidator(_real_uuid), WithJsonSchema(UUID_SCHEMA)]
Count = Annotated[int, Field(ge=0, le=2**53), BeforeValidator(_whole_number)]
Days = Annotated[int, Field(ge=1, le=36_500), BeforeValidator(_whole_number)]


class AuditEvent(TypedDict):
    """One audit event as a client sends it. Other keys are ignored."""

    __pydantic_config__ = ConfigDict(strict=True, extra="ignore")  # type: ignore[misc]  # pydantic expects this name

    version: Annotated[str, _text(1, 20)]
    event_type: Annotated[str, _text(1, 100)]
    event_timestamp: Time
    event_category: Category
    event_action: Annotated[str, _text(1, 50)]
    event_outcome: Outcome
    correlation_id: Annotated[str, _text(1, 255)]
    event_data: Any

    actor_type: NotRequired[str | None]
    actor_id: NotRequired[str | None]
    actor_ip: NotRequired[Annotated[str, _text(0, 45)] | None]
    resource_type: NotRequired[str | None]
    resource_id: NotRequired[str | None]
    parent_event_id: NotRequired[Uuid | None]
    parent_event_date: NotRequired[Day | None]
    namespace: NotRequired[str | None]
    cluster_id: NotRequired[str | None]
    severity: NotRequired[str | None]
    duration_ms: NotRequired[Count | None]
    error_code: NotRequired[str | None]
    error_message: NotRequired[str | None]
    retention_days: NotRequired[Days | None]
    is_sensitive: NotRequired[bool | None]


FIELDS = tuple(AuditEvent.__annotations__)
