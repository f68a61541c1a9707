"""When a token ends, told by its own `exp` claim; imports nothing heavy, for `env` asks this every time."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable


def expires_at(token: str) -> float:
    """The `exp` claim, seconds since the epoch; 0 for what is no JWT."""
    try:
        payload = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (ValueError, KeyError, IndexError, TypeError):
        return 0.0


def ends_within(token: str, seconds: float, clock: Callable[[], float] = time.time) -> bool:
    """Whether the token has ended or ends within that many seconds."""
    return expires_at(token) - clock() < seconds
