"""The stand-in's server.

It listens on 8080, 8081 and 9090 after every check has passed. If a check fails, it prints the reason and exits.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import checks

EVENTS: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    """A handler that serves health and metrics to every client, and accepts events from clients with a token."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        at = urlsplit(self.path)
        if at.path in ("/readyz", "/healthz", "/metrics"):
            self._say(200, {"status": "ready"})
        elif self._known():
            wanted = parse_qs(at.query).get("correlation_id")
            found = [event for event in EVENTS if not wanted or event["correlation_id"] in wanted]
            self._say(200, {"data": found, "pagination": {"total": len(found)}})

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._known():
            EVENTS.append(event)
            self._say(201, {"event_id": str(uuid.uuid4()), "event_timestamp": datetime.now(UTC).isoformat()})

    def _known(self) -> bool:
        _, _, token = (self.headers.get("Authorization") or "").partition(" ")
        try:
            checks.review(checks.kubeconfig(), token or "none", user="")
        except checks.Unmet as error:
            self._say(401, {"title": str(error)})
            return False
        return True

    def _say(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main() -> int:
    try:
        server = checks.everything()["server"]
    except checks.Unmet as error:
        print(f"the environment is not ready for this service: {error}", file=sys.stderr, flush=True)
        time.sleep(1)  # gives the engine time to read the log
        return 1
    print("everything is there", flush=True)
    for port in (server["healthPort"], server["metricsPort"]):
        threading.Thread(target=ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever, daemon=True).start()
    ThreadingHTTPServer(("0.0.0.0", server["port"]), Handler).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
