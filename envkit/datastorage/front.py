"""Middleware of every API request: it limits the load, authenticates, adds a request id, logs and counts."""

import logging
import re
import time
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from envkit.datastorage.admission import Admission
from envkit.datastorage.auth import Gate
from envkit.datastorage.errors import Overloaded
from envkit.datastorage.metrics import Metrics
from envkit.datastorage.problems import Problem

LOG = logging.getLogger(__name__)
PROTECTED = "/api/v1/"
METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Front:
    """The ASGI middleware. Handlers add fields of the log line to ``scope["state"]["log"]``."""

    def __init__(
        self, app: ASGIApp, *, admission: Admission, metrics: Metrics, routes: frozenset[str], gate: Gate | None
    ) -> None:
        self._app = app
        self._admission = admission
        self._metrics = metrics
        self._routes = routes
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request if it exceeds a limit or the gate refuses the caller; else pass it to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope, send)
        try:
            await self._admitted(scope, receive, visit.send)
        finally:
            self._finished(scope, visit)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        with ExitStack() as stack:
            try:
                scope["state"]["ticket"] = stack.enter_context(self._admission.ticket())
                await self._identified(scope)
            except Overloaded as exc:
                await too_much(exc).response(scope["path"])(scope, receive, send)
                return
            except Problem as exc:
                await exc.response(scope["path"])(scope, receive, send)
                return
            await self._app(scope, receive, send)

    async def _identified(self, scope: Scope) -> None:
        if self._gate is not None and scope["path"].startswith(PROTECTED):
            authorization = Headers(scope=scope).get("authorization")
            scope["state"]["log"]["user"] = await self._gate.admit(authorization, scope["method"])

    def _finished(self, scope: Scope, visit: "_Visit") -> None:
        route = scope["path"] if scope["path"] in self._routes else "other"
        method = scope["method"] if scope["method"] in METHODS else "other"
        seconds = time.perf_counter() - visit.started
        self._metrics.requests.labels(method, route, str(visit.status)).inc()
        self._metrics.latency.labels(method, route).observe(seconds)
        level = logging.WARNING if visit.status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
        if LOG.isEnabledFor(level):
            LOG.log(level, "request", extra=visit.fields(scope, seconds))


def too_much(exc: Overloaded) -> Problem:
    """Return the answer 429 for a request that exceeds the limits; it tells the client to retry after 1 second."""
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "overloaded", str(exc), headers={"Retry-After": "1"})


class _Visit:
    """The start time, status and request id of one request."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self.started = time.perf_counter()
        self.status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        given = Headers(scope=scope).get("x-request-id", "")
        self._request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        scope["state"] = {**scope.get("state", {}), "log": {}}

    async def send(self, message: Message) -> None:
        """Send ``message``; record the status and add the header x-request-id when the response starts."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["x-request-id"] = self._request_id
        await self._send(message)

    def fields(self, scope: Scope, seconds: float) -> dict[str, Any]:
        """Return the fields of the log line."""
        return {
            "method": scope["method"],
            "path": scope["path"],
            "status": self.status,
            "duration_ms": round(seconds * 1000, 3),
            "request_id": self._request_id,
            **scope["state"]["log"],
        }
