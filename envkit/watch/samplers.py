"""Reads numbers of the API server, with one request each."""

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
"""A function that makes one request and returns its numbers. Raises `NoAnswer` if there is no answer."""

_REJECTED = re.compile(
    rb"^(?:apiserver_flowcontrol_rejected_requests_total|apiserver_dropped_requests_total)(?:\{[^\n]*\})? ([0-9.e+]+)$",
    re.MULTILINE,
)


def apiserver(api: Api) -> Values:
    """Return `ready` and the answer's `latency` in seconds. Raises `NoAnswer` if the API server is not ready."""
    began = time.monotonic()
    seen = api.readyz()
    took = time.monotonic() - began
    if seen is not None:
        raise NoAnswer(seen)
    return {"ready": 1.0, "latency": round(took, 4)}


def rejected(api: Api) -> Values:
    """Return `rejected`: how many requests the API server has refused since its start because there were too many.

    Returns no numbers if the server does not answer. The metrics are megabytes long, so call this rarely.
    """
    from envkit.drivers.clusters.api import ApiError, Busy

    with suppress(ApiError, Busy):
        text = api.ask("GET", "/metrics")
        if isinstance(text, str):
            return {"rejected": sum(float(found) for found in _REJECTED.findall(text.encode()))}
    return {}
