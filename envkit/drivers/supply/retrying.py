"""When a pull that failed is tried again. Pure: engines tell what a registry answered in words only."""

from __future__ import annotations

import re

BUSY_TRIES = 5
"""For a registry that says to come again (429) or that it is not well (5xx)."""

OTHER_TRIES = 3
"""For connections that break: registries fail for a moment more often than for good."""

LONGEST_PAUSE = 60.0
"""Seconds; who is asked to wait longer is better told."""

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
    """Seconds to wait before the next try, None when there is none; `tries` were made, `said` is what the last gave.

    Never for 401, 403 and 404. After 429 and 5xx 1, 2, 4, 8 seconds, or what the registry asks for where its words show
    it; after a broken connection 1 and 2 seconds.
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
