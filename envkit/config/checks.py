"""Faults that no single value shows: ports that clash, needs that turn in circles, references to nothing."""

from __future__ import annotations

from typing import Any

from envkit.config.merge import Keys
from envkit.config.models import Environment


def judged(environment: Environment, raw: dict[str, Any], known: dict[Keys, str]) -> dict[Keys, str]:
    """Further findings; `known` ones are not said again."""
    return {}
