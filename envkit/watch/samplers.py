"""The API server's own numbers, one question each."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from envkit.drivers.stores import NoAnswer, Values

if TYPE_CHECKING:
    from envkit.drivers.clusters.api import Api

Ask = Callable[[], Values]
"""One question. Raises `NoAnswer` when there is no answer."""

_REJECTED = re.compile(
    rb"^(?:apiserver_flowcontrol_rejected_requests_total|apiserver_dropped_requests_total)(?:\{[^\n]*\})? ([0-9.e+]+)$",
    re.MULTILINE,
)


def apiserver(api: Api) -> Values:
    """Whether it is ready, and how long it took to say so."""
    began = time.monotonic()
    seen = api.readyz()
    took = time.monotonic() - began
    if seen is not None:
        raise NoAnswer(seen)
    return {"ready": 1.0, "latency": round(took, 4)}


def rejected(api: Api) -> Values:
    """Requests that the API server refused because of too many, since it began. Its metrics are megabytes: rarely."""
    from envkit.drivers.clusters.api import ApiError, Busy

    with suppress(ApiError, Busy):
        text = api.ask("GET", "/metrics")
        if isinstance(text, str):
            return {"rejected": sum(float(found) for found in _REJECTED.findall(text.encode()))}
    return {}
