"""Collects facts about the stores. Redis: memory, clients, slow commands; PostgreSQL: activity, locks, sizes."""

from __future__ import annotations

from collections.abc import Iterator

from envkit.config.models import Probe
from envkit.drivers.stores import Address, Store, store_of
from envkit.evidence.collectors.context import CollectionContext, Collector, each

Asked = tuple[str, Store, Probe, Address]


def stores(scene: CollectionContext) -> None:
    """Collect the report of each running store."""
    each(scene, _running(scene), lambda one: one[0], lambda one: _report(scene, *one))


def _running(scene: CollectionContext) -> Iterator[Asked]:
    """Yield each running store: the service's name, its `Store`, its probe as resolved for this host, its address."""
    for one in scene.instances:
        service = scene.environment.services.get(one.service)
        if service is None or not (store := store_of(service.probe)) or not one.running:
            continue
        seen = scene.prober.resolved(one.service, {one.service: one})
        if seen.probe:
            yield one.service, store, seen.probe, scene.prober.address(seen, one)


def _report(scene: CollectionContext, name: str, store: Store, probe: Probe, address: Address) -> None:
    scene.bundle.text(f"stores/{name}.txt", "\n".join(store.report(probe, address)))


COLLECTORS = (Collector("stores", stores, 15),)
