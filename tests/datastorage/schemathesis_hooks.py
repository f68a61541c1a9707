"""What OpenAPI has no words for; loaded by schemathesis."""

from typing import Any

import schemathesis


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """A detail_value goes with its detail_key only."""
    query = case.query or {}
    return "detail_value" not in query or "detail_key" in query
