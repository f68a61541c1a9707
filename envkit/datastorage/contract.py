"""An audit event as the contract describes it: names, types, bounds. The OpenAPI document is made from it."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic needs this TypedDict before Python 3.12

RFC3339 = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
MAX_OFFSET_HOURS = 15  # PostgreSQL refuses a zone displacement of 16 hours and more

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
    """``text`` unchanged, when the calendar has such a time and PostgreSQL can hold it."""
    moment = datetime.fromisoformat(text.upper())
    offset = moment.utcoffset()
    if offset is not None and abs(offset.total_seconds()) >= (MAX_OFFSET_HOURS + 1) * 3600:
        raise ValueError(f"the zone must lie within {MAX_OFFSET_HOURS}:59 of UTC")
    return text


def _real_uuid(text: str) -> str:
    return str(UUID(text))


def _real_day(text: str) -> str:
    return _real_time(text) if len(text) > len("2025-01-31") else date.fromisoformat(text).isoformat()


def _whole_number(value: object) -> object:
    """JSON has one kind of number: 3.0 is an integer there."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(least: int, most: int) -> Any:
    return Field(min_length=least, max_length=most)


Time = Annotated[str, Field(pattern=RFC3339, json_schema_extra={"format": "date-time"}), AfterValidator(_real_time)]
Day = Annotated[str, Field(min_length=10, max_length=35), AfterValidator(_real_day)]
Uuid = Annotated[
    str,
    Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", json_schema_extra={"format": "uuid"}),
    AfterValidator(_real_uuid),
]
Count = Annotated[int, BeforeValidator(_whole_number), Field(ge=0, le=2**53)]
Days = Annotated[int, BeforeValidator(_whole_number), Field(ge=1, le=36_500)]


class AuditEvent(TypedDict):
    """One audit event, as a client sends it. What is not named here is ignored."""

    __pydantic_config__ = ConfigDict(strict=True, extra="ignore")  # type: ignore[misc]

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
