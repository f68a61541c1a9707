"""The service's Prometheus metrics.

The caller passes the registry, so several services in one process can each have a registry.
"""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Upper bounds of the buckets in seconds. One bucket ends at the contract's 20 ms for a single write.
_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OUTCOMES = ("stored", "queued", "refused", "unavailable")


class Metrics:
    """All metrics of one service, registered in ``registry`` at the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"datastorage_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"datastorage_{name}", text, registry=registry)

        self.requests = counter("http_requests", "Requests answered.", "method", "route", "status")
        self.latency = Histogram(
            "datastorage_http_request_duration_seconds",
            "Time from the headers of a request to the end of its answer.",
            ["method", "route"],
            buckets=_LATENCY,
            registry=registry,
        )
        self.in_flight = gauge("requests_in_flight", "Requests in flight.")
        self.database_up = gauge("database_up", "1 if the last operation on PostgreSQL succeeded.")
        self.database_connections = gauge("database_connections_in_use", "Connections of the pool in use.")
        self.queue_depth = gauge("deadletter_depth", "Events waiting in the queue.")
        self.queue_parked = gauge("deadletter_parked", "Parked events that Redis still has.")
        self.queue_missing = gauge(
            "deadletter_missing",
            "Events answered with 202 that left the queue unnoticed; lost, or written by another process.",
        )
        self.drained = counter("deadletter_drained", "Queued events written to PostgreSQL.")
        self.parked = counter("deadletter_parked_events", "Queued events that can never be written.")
        self.withdrawn = counter("withdrawn_events", "Events answered with 503 but written late, and removed again.")
        self.lost = counter("deadletter_lost", "Events answered with 202 that Redis lost or evicted.")
        self.events = counter("events", "Events received, by outcome.", "outcome")
        for unknown in (self.queue_depth, self.queue_parked, self.queue_missing):
            unknown.set(math.nan)  # until the first measurement: an earlier process can have left events in Redis
        for outcome in OUTCOMES:
            self.events.labels(outcome)
