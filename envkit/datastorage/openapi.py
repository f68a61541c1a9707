"""The OpenAPI document."""

from functools import cache
from typing import Any

from pydantic import TypeAdapter

from envkit.datastorage.contract import AuditEvent


@cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1; the event's schema is the one that requests are validated with."""
    schema = TypeAdapter(AuditEvent).json_schema()
    return {
        "openapi": "3.1.0",
        "info": {"title": "DataStorage", "version": "1"},
        "paths": {},
        "components": {"schemas": {"AuditEvent": schema}},
    }
