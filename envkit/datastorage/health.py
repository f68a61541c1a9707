"""Is it alive, and can it work? On the health port, and `/readyz` on the API port too."""

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
from envkit.datastorage.metrics import Metrics


class Health:
    """Answers for the process (`/healthz`) and for what it needs (`/readyz`)."""

    def __init__(self, database: Database, queue: DeadLetterQueue) -> None:
        self._database = database
        self._queue = queue
        self.shutting_down = False

    async def alive(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """200 when PostgreSQL and Redis answer, the schema is there and no shutdown has begun; else 503 with why."""
        postgresql, redis = await asyncio.gather(_state(self._database.check()), _state(self._queue.check()))
        checks = {"postgresql": postgresql, "redis": redis}
        if self.shutting_down:
            checks["service"] = "shutting down"
        if all(state == "ok" for state in checks.values()):
            return JSONResponse({"status": "ready", "checks": checks})
        return JSONResponse({"status": "not ready", "checks": checks}, HTTPStatus.SERVICE_UNAVAILABLE)


async def _state(check: Awaitable[None]) -> str:
    try:
        await check
    except DataStorageError as exc:
        return str(exc)
    return "ok"


def health_application(health: Health) -> Starlette:
    """The ASGI application of the health port."""
    return Starlette(routes=[Route("/healthz", health.alive), Route("/readyz", health.ready)])


def metrics_application(registry: CollectorRegistry, metrics: Metrics, database: Database) -> Starlette:
    """The ASGI application of the metrics port."""
    metrics.database_up.set_function(lambda: float(database.connections.fault is None))
    metrics.database_connections.set_function(database.connections.in_use)

    async def expose(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/metrics", expose)])
