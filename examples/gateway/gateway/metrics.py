"""The metrics of one server, in its own registry, so that two servers in one process do not conflict."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram


class Metrics:
    """The metrics of one server."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry(auto_describe=True)
        self.signals = Counter("gateway_signals", "Signals by outcome", ["outcome"], registry=self.registry)
        self.repeats = Counter("gateway_crd_repeats", "Retries to create a request", registry=self.registry)
        self.seconds = Histogram(
            "gateway_request_seconds", "Time from the arrival of a webhook call to its answer", registry=self.registry
        )
