"""The service under test: as a thread of this process, or as a separate process, which tests can kill."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import urllib3
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from envkit.datastorage.server import Runner
from envkit.datastorage.settings import Settings

from .servers import wait_for

EVENTS = "/api/v1/audit/events"
BATCH = f"{EVENTS}/batch"
REPOSITORY = Path(__file__).parents[2]


def event(**changes: Any) -> dict[str, Any]:
    """Return a valid event with only the required fields, changed by ``changes``; the value ``...`` removes a field."""
    whole = {
        "version": "1.0",
        "event_type": "gateway.signal.received",
        "event_timestamp": "2025-06-01T12:00:00Z",
        "event_category": "gateway",
        "event_action": "received",
        "event_outcome": "success",
        "correlation_id": "rr-2025-001",
        "event_data": {"signal": "OOMKilled"},
    } | changes
    return {name: value for name, value in whole.items() if value is not ...}


class Client:
    """An HTTP client of one service, as a test suite uses it."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.ports = ports
        self._http = urllib3.PoolManager(maxsize=32, retries=False, timeout=urllib3.Timeout(connect=2, read=20))

    def ask(self, method: str, path: str, *, port: str = "api", **options: Any) -> urllib3.BaseHTTPResponse:
        return self._http.request(method, f"http://127.0.0.1:{self.ports[port]}{path}", **options)

    def post(self, content: object, path: str = EVENTS) -> urllib3.BaseHTTPResponse:
        return self.ask("POST", path, json=content)

    def query(self, **parameters: object) -> dict[str, Any]:
        answer = self.ask("GET", EVENTS, fields={name: str(value) for name, value in parameters.items()})
        assert answer.status == 200, answer.data
        result: dict[str, Any] = answer.json()
        return result

    def metric(self, name: str, **labels: str) -> float:
        """Return the value of one sample, or 0 if it does not exist."""
        text = self.ask("GET", "/metrics", port="metrics").data.decode()
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return next((s.value for s in samples if s.name == name and labels.items() <= s.labels.items()), 0.0)

    def is_ready(self) -> bool:
        return self.ask("GET", "/readyz", port="health").status == 200

    def wait_until_ready(self) -> None:
        wait_for(self.is_ready, "the service to be ready")


class Threaded(Client):
    """A service in this process."""

    def __init__(self, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        self._runner = Runner(settings, self.registry)
        self._thread = threading.Thread(target=self._runner.run, daemon=True)
        super().__init__(self._runner.ports)
        self._thread.start()

    def stop(self) -> None:
        self._runner.stop()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the service did not end"


class Spawned(Client):
    """A service as a process."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "envkit.datastorage"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.log: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_for(self._listening, "the service to log its ports")
        super().__init__(self._listening())

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.log.append(json.loads(line))

    def _listening(self) -> dict[str, int]:
        line = next((line for line in self.log if line["message"] == "listening"), {})
        return {name: line[f"{name}_port"] for name in ("api", "health", "metrics") if line}

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end and return the exit code."""
        self._process.send_signal(number)
        code = self._process.wait(20)
        self._reader.join(5)
        return code

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(20)
        self._reader.join(5)
        assert self._process.stdout
        self._process.stdout.close()
