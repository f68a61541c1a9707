"""The HTTP API: each handler parses a request, calls the service and builds the response."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from envkit.datastorage import bodies, events, queries
from envkit.datastorage.admission import Admission
from envkit.datastorage.auth import Gate
from envkit.datastorage.database import Database, Page
from envkit.datastorage.errors import DatabaseUnavailable, EventRefused, Overloaded
from envkit.datastorage.front import Front, too_much
from envkit.datastorage.health import Health
from envkit.datastorage.metrics import Metrics
from envkit.datastorage.openapi import BATCH, EVENTS, document
from envkit.datastorage.problems import Problem
from envkit.datastorage.recorder import Kept, NotKept, Recorder
from envkit.datastorage.settings import Settings

_STATUS = {Kept.STORED: HTTPStatus.CREATED, Kept.QUEUED: HTTPStatus.ACCEPTED}
_MESSAGE = {
    Kept.STORED: "Audit event{s} stored",
    Kept.QUEUED: "PostgreSQL failed: audit event{s} queued; the service writes them later",
}
_RETRY = {"Retry-After": "1"}  # seconds; the drain tries PostgreSQL more often than once per second


class Api:
    """The request handlers of /api/v1."""

    def __init__(self, settings: Settings, recorder: Recorder, database: Database) -> None:
        self._settings = settings
        self._recorder = recorder
        self._database = database

    async def events(self, request: Request) -> Response:
        """Handle POST with ``create`` and every other method with ``query``."""
        return await (self.create if request.method == "POST" else self.query)(request)

    async def create(self, request: Request) -> Response:
        """Store one event and return 201 (committed) or 202 (queued) with its id.

        Raises errors that ``_problem`` translates to a problem document.
        """
        body = await self._body(request)
        event = events.parse_one(body, max_depth=self._settings.max_json_depth)
        request.state.log |= {"correlation_id": event["correlation_id"], "event_id": event["event_id"]}
        kept = await self._recorder.keep([event])
        content = {"event_id": event["event_id"], "event_timestamp": event["event_timestamp"]}
        return _answer(kept, content, plural="")

    async def create_batch(self, request: Request) -> Response:
        """Store a batch and return 201 or 202 with all ids, in the order of the batch.

        Raises errors that ``_problem`` translates to a problem document.
        """
        body = await self._body(request)
        most = self._settings.max_batch_events
        batch = events.parse_many(body, max_depth=self._settings.max_json_depth, max_events=most)
        request.state.log |= {"correlation_id": _common_correlation(batch), "events": len(batch)}
        kept = await self._recorder.keep(batch)
        return _answer(kept, {"event_ids": [event["event_id"] for event in batch]}, plural="s")

    async def query(self, request: Request) -> Response:
        """Return 200 with one page of events. Raises errors that ``_problem`` translates to a problem document."""
        query = queries.parse(request.query_params)
        if correlation_id := request.query_params.get("correlation_id"):
            request.state.log["correlation_id"] = correlation_id
        page = await self._database.select(query)
        if page.bytes > self._settings.max_page_bytes:
            fault = f"the page has {page.bytes} bytes, more than {self._settings.max_page_bytes}: set a lower limit"
            raise events.Invalid("the page is too large", {"limit": fault})
        return Response(_rendered(page, query), media_type="application/json")

    async def openapi(self, _request: Request) -> Response:
        """Return the OpenAPI document with this service's batch limit, and with token security if it is on."""
        return JSONResponse(
            document(max_batch_events=self._settings.max_batch_events, bearer=self._settings.auth_enabled)
        )

    async def _body(self, request: Request) -> bytes:
        settings = self._settings
        return await bodies.read(request, max_bytes=settings.max_body_bytes, seconds=settings.body_timeout)


def application(api: Api, health: Health, settings: Settings, metrics: Metrics, gate: Gate | None) -> Front:
    """Return the ASGI application of the API port. With a ``gate``, all of /api/v1 requires a bearer token."""
    routes = [
        Route(EVENTS, api.events, methods=["GET", "POST"]),  # one route, so that the Allow header names both methods
        Route(BATCH, api.create_batch, methods=["POST"]),
        Route("/readyz", health.ready),
        Route("/health", health.ready),  # the path of older versions
        Route("/openapi.json", api.openapi),
    ]
    app = Starlette(routes=routes, exception_handlers=_HANDLERS)
    admission = Admission(max_requests=settings.max_requests_in_flight, max_bytes=settings.max_bytes_in_flight)
    metrics.in_flight.set_function(lambda: admission.requests)
    return Front(app, admission=admission, metrics=metrics, routes=frozenset(route.path for route in routes), gate=gate)


def _answer(kept: Kept, content: dict[str, Any], *, plural: str) -> Response:
    content["message"] = _MESSAGE[kept].format(s=plural)
    if kept is Kept.QUEUED:
        content["status"] = "accepted"
    return Response(to_json(content), _STATUS[kept], media_type="application/json")


def _common_correlation(batch: list[events.Stored]) -> str:
    ids = {event["correlation_id"] for event in batch}
    return ids.pop() if len(ids) == 1 else f"{len(ids)} different"


def _rendered(page: Page, query: queries.EventQuery) -> bytes:
    """Return the page as JSON. event_data is already JSON text, so the function inserts it unchanged."""
    data = b",".join(_with_data(row) for row in page.rows)
    pagination = {
        "limit": query.limit,
        "offset": query.offset,
        "total": page.total,
        "has_more": query.offset + len(page.rows) < page.total,
    }
    return b"".join((b'{"data":[', data, b'],"pagination":', to_json(pagination), b"}"))


def _with_data(row: Mapping[str, Any]) -> bytes:
    head = to_json({name: value for name, value in row.items() if name != "event_data"})
    return b"".join((head[:-1], b',"event_data":', row["event_data"].encode(), b"}"))


def _problem(exc: Exception) -> Problem:
    match exc:
        case Problem():
            return exc
        case events.Invalid():
            return Problem(HTTPStatus.BAD_REQUEST, "validation-error", exc.detail, field_errors=exc.field_errors)
        case EventRefused():
            faults = {"body": f"PostgreSQL refuses it: {exc}"}
            return Problem(HTTPStatus.BAD_REQUEST, "validation-error", str(exc), field_errors=faults)
        case Overloaded():
            return too_much(exc)
        case NotKept() | DatabaseUnavailable():
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "service-unavailable", str(exc), headers=_RETRY)
        case HTTPException():
            status = HTTPStatus(exc.status_code)
            kind = status.phrase.lower().replace(" ", "-")
            return Problem(status, kind, exc.detail, headers=exc.headers)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", "internal error: see the log of the service")


async def _handle(request: Request, exc: Exception) -> Response:
    return _problem(exc).response(request.url.path)


_HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = dict.fromkeys(
    (Problem, events.Invalid, EventRefused, Overloaded, NotKept, DatabaseUnavailable, HTTPException, Exception), _handle
)
