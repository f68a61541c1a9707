"""The endpoints `/healthz`, `/readyz` and `/drained` of the health port; the API port has `/readyz` too."""

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from envkit.datastorage.database import Database
from envkit.datastorage.deadletter import DeadLetterQueue
from envkit.datastorage.errors import DataStorageError
from envkit.datastorage.ledger import Ledger
from envkit.datastorage.metrics import Metrics


class Health:
    """The handlers of `/healthz` (the process), `/readyz` (PostgreSQL and Redis as well) and `/drained` (the queue)."""

    def __init__(self, database: Database, queue: DeadLetterQueue, ledger: Ledger) -> None:
        self._database = database
        self._queue = queue
        self._ledger = ledger
        self.shutting_down = False

    async def alive(self, _request: Request) -> Response:
        """Return 200, which shows that the process answers."""
        return JSONResponse({"status": "alive"})

    async def ready(self, _request: Request) -> Response:
        """Return 200 if PostgreSQL, the schema and Redis work and no shutdown has begun; else 503 with the reasons."""
        postgresql, redis = await asyncio.gather(_state(self._database.check()), _state(self._queue.check()))
        checks = {"postgresql": postgresql, "redis": redis}
        if self.shutting_down:
            checks["service"] = "shutting down"
        if all(state == "ok" for state in checks.values()):
            return JSONResponse({"status": "ready", "checks": checks})
        return JSONResponse({"status": "not ready", "checks": checks}, HTTPStatus.SERVICE_UNAVAILABLE)

    async def drained(self, _request: Request) -> Response:
        """Return 200 if the queue is empty and every event answered with 202 is stored, parked or lost; else 503.

        After 200, a flush of Redis does not lose an event.
        """
        try:
            waiting, parked = await self._queue.lengths()
        except DataStorageError as exc:
            return JSONResponse({"status": "unknown", "reason": str(exc)}, HTTPStatus.SERVICE_UNAVAILABLE)
        open_promises = len(self._ledger)
        drained = not waiting and not open_promises
        content = {"status": "drained" if drained else "waiting", "waiting": waiting, "parked": parked}
        content["promised"] = open_promises
        return JSONResponse(content, HTTPStatus.OK if drained else HTTPStatus.SERVICE_UNAVAILABLE)


async def _state(check: Awaitable[None]) -> str:
    try:
        await check
    except DataStorageError as exc:
        return str(exc)
    return "ok"


def health_application(health: Health) -> Starlette:
    """Return the ASGI application of the health port."""
    routes = [Route("/healthz", health.alive), Route("/readyz", health.ready), Route("/drained", health.drained)]
    return Starlette(routes=routes)


def metrics_application(registry: CollectorRegistry, metrics: Metrics, database: Database) -> Starlette:
    """Return the ASGI application of the metrics port."""
    metrics.database_up.set_function(lambda: float(database.connections.fault is None))
    metrics.database_connections.set_function(database.connections.in_use)

    async def expose(_request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/metrics", expose)])
