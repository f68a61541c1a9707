"""The service's metrics, in a registry that is passed in: several servers live in one process, each with its own."""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Seconds; the contract's 20 ms for a single write lies on an edge.
_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OUTCOMES = ("stored", "queued", "refused", "unavailable")


class Metrics:
    """Every metric of one service, registered in ``registry``; all are there from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"datastorage_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"datastorage_{name}", text, registry=registry)

        self.requests = counter("http_requests", "Requests answered.", "method", "route", "status")
        self.latency = Histogram(
            "datastorage_http_request_duration_seconds",
            "Time from a request's head to its answer's end.",
            ["method", "route"],
            buckets=_LATENCY,
            registry=registry,
        )
        self.in_flight = gauge("requests_in_flight", "Requests being worked on.")
        self.database_up = gauge("database_up", "1 when the last word from PostgreSQL was good.")
        self.database_connections = gauge("database_connections_in_use", "Pool connections that are working.")
        self.queue_depth = gauge("deadletter_depth", "Events waiting in the queue.")
        self.queue_parked = gauge("deadletter_parked", "Parked events still kept.")
        self.queue_missing = gauge(
            "deadletter_missing",
            "Events answered with 202 that have left the queue unseen; lost, or written by another.",
        )
        self.drained = counter("deadletter_drained", "Queued events written to PostgreSQL.")
        self.parked = counter("deadletter_parked_events", "Queued events given up as poison.")
        self.withdrawn = counter("withdrawn_events", "Events answered with 503, written late all the same, taken back.")
        self.lost = counter("deadletter_lost", "Events answered with 202 that Redis lost or evicted.")
        self.events = counter("events", "Events received, by what became of them.", "outcome")
        for unknown in (self.queue_depth, self.queue_parked, self.queue_missing):
            unknown.set(math.nan)  # until the queue has been asked: an earlier process may have left events there
        for outcome in OUTCOMES:
            self.events.labels(outcome)
