"""The export format JSON: one object with sorted keys."""

from __future__ import annotations

import json
from collections.abc import Mapping


def render(variables: Mapping[str, str]) -> str:
    """Return the variables as indented JSON."""
    return json.dumps(dict(sorted(variables.items())), indent=2) + "\n"
