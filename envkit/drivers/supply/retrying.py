"""Decides whether and when to retry a failed pull.

It reads the error's text, because engines do not report the registry's status code.
"""

from __future__ import annotations

import re

BUSY_TRIES = 5
"""Number of tries if the registry is overloaded (429) or has an internal error (5xx)."""

OTHER_TRIES = 3
"""Number of tries after other errors, such as broken connections: most are temporary."""

LONGEST_PAUSE = 60.0
"""Longest pause in seconds: if the registry requires a longer pause, envkit reports the error instead."""

_FINAL = re.compile(
    r"unauthorized|denied|authentication required|no basic auth|incorrect username|"  # 401, 403
    r"manifest unknown|name unknown|(manifest|repository|image) [^\n]*not found|does not exist|"  # 404
    r"no matching manifest|no image found in|invalid reference|"
    r"gave HTTP response to HTTPS client|look like a TLS handshake|x509:|"
    r"no space left|status(?: code)?:? (?:40[0134]|410)\b",
    re.IGNORECASE,
)
_BUSY = re.compile(r"toomanyrequests|too many requests|rate limit|status(?: code)?:? (?:429|5\d\d)\b", re.IGNORECASE)
_AFTER = re.compile(r"retry[- ]after:? *([\d.]+) *(µs|us|ms|s|m)?\b", re.IGNORECASE)
_UNITS = {"µs": 1e-6, "us": 1e-6, "ms": 1e-3, "m": 60.0}


def pause_before_next(said: str, tries: int) -> float | None:
    """Return the seconds to wait before the next try, or None if the failure is final.

    `said` is the error's text, `tries` the number of tries so far. 401, 403 and 404 are final. The pauses after 429 and
    5xx are 1, 2, 4 and 8 seconds. After any other error that is not final they are 1 and 2 seconds. A longer
    `retry-after` in the text makes a pause longer; if it exceeds `LONGEST_PAUSE`, the failure is final.
    """
    busy = _BUSY.search(said) is not None
    final = not busy and _FINAL.search(said) is not None
    if final or tries >= (BUSY_TRIES if busy else OTHER_TRIES):
        return None
    after = _asked_for(said)
    if after > LONGEST_PAUSE:
        return None
    return max(2.0 ** (tries - 1), after)


def _asked_for(said: str) -> float:
    found = _AFTER.search(said)
    return float(found[1].rstrip(".")) * _UNITS.get((found[2] or "s").lower(), 1.0) if found else 0.0
