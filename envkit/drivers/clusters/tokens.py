"""Checks when a token expires, by its `exp` claim. It imports no large package, because `env` always calls it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable


def expires_at(token: str) -> float:
    """Return the `exp` claim in seconds since the epoch, or 0 if the text is not a JWT."""
    try:
        payload = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (ValueError, KeyError, IndexError, TypeError):
        return 0.0


def ends_within(token: str, seconds: float, clock: Callable[[], float] = time.time) -> bool:
    """Return whether the token has expired or expires within that many seconds."""
    return expires_at(token) - clock() < seconds
