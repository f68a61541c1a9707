"""A server's metrics, in a registry of its own: two servers in one process never meet."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram


class Metrics:
    """What is counted."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry(auto_describe=True)
        self.signals = Counter("gateway_signals", "Signals by what became of them", ["outcome"], registry=self.registry)
        self.repeats = Counter("gateway_crd_repeats", "Repeated attempts to create a request", registry=self.registry)
        self.seconds = Histogram(
            "gateway_request_seconds", "Time from a webhook's arrival to its answer", registry=self.registry
        )
