"""What is collected, and how long each collector may take. They run side by side and know nothing of each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envkit.evidence.collectors import cluster, host, records, services, stores
from envkit.evidence.collectors.scene import Scene


@dataclass(frozen=True)
class Collector:
    """One kind of evidence; after `seconds` the others no longer wait for it."""

    name: str
    collect: Callable[[Scene], None]
    seconds: float


COLLECTORS: tuple[Collector, ...] = (
    Collector("run", records.run, 10),
    Collector("configuration", records.configuration, 10),
    Collector("state", records.state, 10),
    Collector("earlier logs", records.earlier, 10),
    Collector("reports", records.reports, 10),
    Collector("plan", records.plan, 20),
    Collector("versions", records.versions, 15),
    Collector("service logs", services.logs, 30),
    Collector("inspect", services.inspect, 20),
    Collector("engine events", services.engine_events, 10),
    Collector("probes", services.probes, 15),
    Collector("redis", stores.redis, 15),
    Collector("postgresql", stores.postgres, 15),
    Collector("cluster", cluster.resources, 45),
    Collector("pods", cluster.pods, 45),
    Collector("nodes", cluster.nodes, 60),
    Collector("host", host.host, 15),
    Collector("ports", host.ports, 15),
)
