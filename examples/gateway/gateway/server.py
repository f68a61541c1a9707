"""The HTTP server: one thread per connection, a free port by default, and a stop that finishes all calls."""

from __future__ import annotations

import json
import threading
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import generate_latest

from gateway.cluster import Cluster
from gateway.dedup import Dedup, Unavailable
from gateway.intake import Answer, Intake
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.trail import Trail

WEBHOOK = "/api/v1/signals/prometheus"


class Gateway:
    """One server. A process can run several. At the end of a `with`, the server stops."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self.settings, self.metrics = settings, metrics or Metrics()
        self.dedup = Dedup(settings.redis_url, settings.dedup_prefix, settings.dedup_ttl, settings.redis_timeout)
        self._cluster = Cluster(
            settings.kubernetes_url, settings.kubernetes_ca, settings.token, timeout=settings.kubernetes_timeout,
            attempts=settings.create_attempts, backoff=settings.create_backoff,
        )  # fmt: skip
        self._intake = Intake(settings, self._cluster, self.dedup, self.metrics)
        self._server = _Server(("127.0.0.1", settings.port), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="gateway", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._server.server_address[1])

    @property
    def accepting(self) -> bool:
        """Whether it accepts new calls."""
        return not self._server.stopping

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Accept no new connection, finish the calls in progress, and close everything."""
        if self._server.stopping:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.finish()
        self._server.server_close()
        self.dedup.close()
        self._cluster.close()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def take(self, authorization: str, body: bytes, correlation_id: str) -> Answer:
        """Handle one webhook call."""
        with self.metrics.seconds.time():
            return self._intake.take(authorization, body, Trail(self.settings.audit, correlation_id))

    def ready(self) -> Answer:
        """Return 200 if the server can work now, else 503 with the reason."""
        try:
            self.dedup.ping()
        except Unavailable as error:
            return Answer(503, {"status": "not ready", "reason": f"Redis: {error}"})
        return Answer(200, {"status": "ready"})


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # with socketserver's default of 5, a storm gets connections reset
    daemon_threads = True

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self._busy, self.stopping, self._idle = 0, False, threading.Condition()

    def began(self) -> bool:
        """Count a new call and return True, or return False if the server is stopping.

        The connection may be older than the call of `stop`.
        """
        with self._idle:
            self._busy += not self.stopping
            return not self.stopping

    def ended(self) -> None:
        """Count the end of a call."""
        with self._idle:
            self._busy -= 1
            self._idle.notify_all()

    def finish(self, seconds: float = 30.0) -> None:
        """Accept no further call, and wait for those in progress."""
        with self._idle:
            self.stopping = True
            self._idle.wait_for(lambda: not self._busy, seconds)


def _handler(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30
        server: _Server

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._send(200, generate_latest(gateway.metrics.registry), "text/plain; version=0.0.4")
            elif self.path == "/readyz":
                self._answer(gateway.ready())
            else:
                found = self.path == "/healthz"
                self._answer(Answer(200 if found else 404, {"status": "alive" if found else "not found"}))

        def do_POST(self) -> None:
            if not self.server.began():
                self.close_connection = True  # the unread body would become the next request
                self._answer(Answer(503, {"status": "stopping"}, {"Retry-After": "1"}))
                return
            try:
                self._post()
            finally:
                self.server.ended()

        def _post(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != WEBHOOK or length > gateway.settings.max_body:
                self.close_connection = True  # the unread body would become the next request
                large = self.path == WEBHOOK
                status = "too large" if large else "not found"
                self._answer(Answer(413 if large else 404, {"status": status}))
                return
            body = self.rfile.read(length)
            correlation_id = self.headers.get("X-Correlation-ID") or str(uuid.uuid4())
            self._answer(gateway.take(self.headers.get("Authorization") or "", body, correlation_id), correlation_id)

        def _answer(self, answer: Answer, correlation_id: str = "") -> None:
            headers = {**answer.headers, **({"X-Correlation-ID": correlation_id} if correlation_id else {})}
            self._send(answer.status, json.dumps(answer.body).encode(), "application/json", headers)

        def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
            with suppress(ConnectionError):
                self.send_response(status)
                for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing: tests read the audit trail and the metrics."""

    return Handler
