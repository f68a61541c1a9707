"""Check before every change that the existing resources belong to this user and checkout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envkit.base.errors import HolderError
from envkit.base.owner import Owner, Verdict
from envkit.config.models import Environment
from envkit.inventory.drivers import Drivers
from envkit.planning.facts import Instance

BESIDE = "run `down` there first, or bring this one up beside it with --name OTHER --port-offset N"


def check_holder(
    environment: Environment, drivers: Drivers, found: Iterable[Instance], network: Owner | None, hint: str = BESIDE
) -> None:
    """Raise `HolderError` if a service or the network of this environment belongs to another owner."""
    for verdict in _verdicts(drivers, found, network):
        if not verdict.ours:
            raise HolderError(f"environment {environment.name} of this machine {verdict.reason}", hint=hint)


def _verdicts(drivers: Drivers, found: Iterable[Instance], network: Owner | None) -> Iterator[Verdict]:
    yield from (drivers.runtime.whose(instance) for instance in found)
    if network:
        yield drivers.claim.on(network)


def ours(environment: Environment, drivers: Drivers) -> list[Instance]:
    """Return the existing services. Raises `HolderError` if one of them, or the network, belongs to another owner."""
    found = drivers.runtime.observe(environment.name)
    of_cluster = environment.cluster.has_nodes
    network = drivers.networks.owner(environment.name) if of_cluster else None
    check_holder(environment, drivers, found, network, hint="run it there, or use another --name")
    return list(found)
