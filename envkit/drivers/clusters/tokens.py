"""Reads from a token when it expires. This module imports no large package, because `env` always uses it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable


def expires_at(token: str) -> float:
    """Return the time in the token's `exp` claim, in seconds since 1970; 0 if it has no such claim or is no JWT."""
    try:
        payload = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (ValueError, KeyError, IndexError, TypeError):
        return 0.0


def ends_within(token: str, seconds: float, clock: Callable[[], float] = time.time) -> bool:
    """Return whether the token has expired or will expire within that many seconds; true for a text that is no JWT."""
    return expires_at(token) - clock() < seconds
