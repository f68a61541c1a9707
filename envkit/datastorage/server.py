"""Serves the three ports until a signal arrives, then finishes the requests in progress."""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial

import uvicorn
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from envkit.datastorage.errors import ConfigurationError
from envkit.datastorage.protocol import protocol
from envkit.datastorage.service import Service, create_service
from envkit.datastorage.settings import Settings

LOG = logging.getLogger(__name__)
BACKLOG = 1024
MAX_CONNECTIONS = 4096  # per port; a new one ends the longest idle one, or gets 503 if none is idle
IDLE_SECONDS = 30  # until an idle keep-alive connection is closed


class _Server(uvicorn.Server):
    """The server of one port. It ignores signals, because ``Runner`` handles them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Runner:
    """Serves one service. The constructor opens the sockets, so ``ports`` has the real port numbers even for port 0."""

    def __init__(self, settings: Settings, registry: CollectorRegistry | None = None) -> None:
        self._settings = settings
        self._stop: Callable[[], object] | None = None
        self._sockets = _bound(settings)
        self.ports = {name: listener.getsockname()[1] for name, listener in self._sockets.items()}
        self._registry = registry or _process_registry()

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or ``stop``."""
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self.serve())

    async def serve(self) -> None:
        """Serve like ``run``, inside a running event loop."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._stop = partial(loop.call_soon_threadsafe, stopping.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError, RuntimeError):  # only the main thread can handle signals
                loop.add_signal_handler(number, stopping.set)
        service = create_service(self._settings, self._registry)
        async with service.running():
            await self._until(stopping, service)

    def stop(self) -> None:
        """End ``run`` as SIGTERM does. Any thread is allowed to call this."""
        if self._stop is not None:
            self._stop()

    def close(self) -> None:
        """Close the sockets; a caller that never calls ``run`` needs this."""
        for listener in self._sockets.values():
            listener.close()

    async def _until(self, stopping: asyncio.Event, service: Service) -> None:
        servers = {name: self._server(name, getattr(service, name)) for name in self._sockets}
        tasks = {name: asyncio.create_task(servers[name].serve([self._sockets[name]])) for name in servers}
        LOG.info("listening", extra={"host": self._settings.host, **{f"{n}_port": p for n, p in self.ports.items()}})
        await asyncio.wait([asyncio.create_task(stopping.wait()), *tasks.values()], return_when=asyncio.FIRST_COMPLETED)
        LOG.info("shutting down after the current requests", extra={"at_most_seconds": self._settings.shutdown_timeout})
        service.readiness.shutting_down = True
        for names in (("api",), ("health", "metrics")):  # health and metrics still answer while the API shuts down
            for name in names:
                servers[name].should_exit = True
            await asyncio.gather(*(tasks[name] for name in names))
        LOG.info("stopped")

    def _server(self, name: str, app: ASGIApp) -> _Server:
        most = _most_connections()
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            http=protocol(self._settings.header_timeout, most),
            backlog=BACKLOG,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=int(self._settings.shutdown_timeout) if name == "api" else 1,
            limit_concurrency=most,
        )
        return _Server(config)


def _most_connections() -> int:
    """Return the maximum number of connections per port, from 64 to 4,096.

    It is a third of the process's open files, after 256 are reserved for the service itself.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if allowed == resource.RLIM_INFINITY else max(64, min(MAX_CONNECTIONS, (allowed - 256) // 3))


def _bound(settings: Settings) -> dict[str, socket.socket]:
    """Return a listening socket for each port. Raises ConfigurationError with all ports that cannot be opened."""
    sockets, faults = {}, []
    for name, port in (("api", settings.port), ("health", settings.health_port), ("metrics", settings.metrics_port)):
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        try:
            sockets[name] = socket.create_server((settings.host, port), family=family, backlog=BACKLOG)
        except OSError as exc:
            faults.append(f"{name} port {port} on {settings.host}: {exc.strerror}")
    if faults:
        for listener in sockets.values():
            listener.close()
        raise ConfigurationError(faults)
    return sockets


def _process_registry() -> CollectorRegistry:
    from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
