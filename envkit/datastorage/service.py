"""Assembles one service from settings and a registry. There is no global state: a process can run several services."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from envkit.datastorage import api, apiserver
from envkit.datastorage.auth import Gate, Target
from envkit.datastorage.database import Database
from envkit.datastorage.deadletter import DeadLetterQueue
from envkit.datastorage.drain import Drain
from envkit.datastorage.errors import DatabaseUnavailable
from envkit.datastorage.health import Health, health_application, metrics_application
from envkit.datastorage.ledger import Ledger
from envkit.datastorage.metrics import Metrics
from envkit.datastorage.recorder import Recorder
from envkit.datastorage.settings import Settings
from envkit.datastorage.withdrawals import Withdrawals

LOG = logging.getLogger(__name__)


@dataclass
class Service:
    """The service's three ASGI applications, and the objects that they use. They work only inside ``running()``."""

    settings: Settings
    api: ASGIApp
    health: ASGIApp
    metrics: ASGIApp
    database: Database
    queue: DeadLetterQueue
    drain: Drain
    ledger: Ledger
    gate: Gate | None
    readiness: Health

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the connection pools and start the drain; stop both at the end. Queued events stay in the queue."""
        await self.database.connections.open()
        worker = asyncio.create_task(self._work(), name="datastorage-drain")
        try:
            yield
        finally:
            self.readiness.shutting_down = True
            self.drain.stop()
            await asyncio.wait({worker}, timeout=self.settings.shutdown_timeout)
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
            await self.database.connections.close()
            await self.queue.close()
            self.ledger.close()
            if self.gate is not None:
                self.gate.close()

    async def _work(self) -> None:
        try:
            await self.database.recover()
        except DatabaseUnavailable as exc:
            LOG.warning("PostgreSQL does not work yet", extra={"reason": str(exc)})
        await self.drain.run(self.settings.drain_interval)


def create_service(settings: Settings, registry: CollectorRegistry) -> Service:
    """Return a service with its metrics in ``registry``; it opens no connection yet.

    Raises ConfigurationError if authentication is on and no usable API server is configured.
    """
    metrics = Metrics(registry)
    database, queue = Database(settings), DeadLetterQueue(settings)
    ledger, withdrawals = Ledger(settings.ledger_path), Withdrawals(time.monotonic)
    recorder = Recorder(database, queue, ledger=ledger, withdrawals=withdrawals, metrics=metrics)
    drain = Drain(database, queue, ledger=ledger, withdrawals=withdrawals, metrics=metrics)
    readiness = Health(database, queue, ledger)
    gate = _gate(settings)
    return Service(
        settings=settings,
        api=api.application(api.Api(settings, recorder, database), readiness, settings, metrics, gate),
        health=health_application(readiness),
        metrics=metrics_application(registry, metrics, database),
        database=database,
        queue=queue,
        drain=drain,
        ledger=ledger,
        gate=gate,
        readiness=readiness,
    )


def _gate(settings: Settings) -> Gate | None:
    if not settings.auth_enabled:
        return None
    return Gate(
        apiserver.find(settings.kubeconfig, settings.kubernetes_service_host, settings.kubernetes_service_port),
        Target(settings.pod_namespace, settings.auth_service_name),
        timeout=settings.auth_timeout,
        remember=settings.auth_cache,
    )
