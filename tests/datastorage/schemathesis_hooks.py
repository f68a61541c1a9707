"""A hook for schemathesis with a rule that OpenAPI cannot express."""

from typing import Any

import schemathesis


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Return whether the case is valid: it has no detail_value without a detail_key."""
    query = case.query or {}
    return "detail_value" not in query or "detail_key" in query
