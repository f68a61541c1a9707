"""A toy export format."""

from __future__ import annotations

from collections.abc import Mapping


def render(variables: Mapping[str, str]) -> str:
    """Return only the names of the variables."""
    return "".join(f"toy {name}\n" for name in sorted(variables))
