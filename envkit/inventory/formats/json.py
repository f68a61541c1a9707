"""One JSON object, its keys sorted."""

from __future__ import annotations

import json
from collections.abc import Mapping


def render(variables: Mapping[str, str]) -> str:
    """Return the variables as JSON, indented."""
    return json.dumps(dict(sorted(variables.items())), indent=2) + "\n"
