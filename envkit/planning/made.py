"""Compare the new configuration with the fields that `up` recorded when it started the running services."""

from __future__ import annotations

from collections.abc import Mapping

from envkit.config.models import Cluster, Environment, Service
from envkit.config.references import names_in
from envkit.planning.facts import ClusterFact, Instance
from envkit.planning.fingerprint import cluster_fields, cluster_fingerprint, fields
from envkit.planning.origin import Inputs
from envkit.planning.steps import CLUSTER, Want


def changed(
    wants: Mapping[str, Want], instances: Mapping[str, Instance], made: Mapping[str, Inputs]
) -> dict[str, tuple[str, ...]]:
    """Return the changed fields of each service whose fingerprint changes.

    A service is left out if the record does not describe its running instance.
    """
    found = {}
    for name, instance in instances.items():
        want, known = wants.get(name), made.get(name)
        if want and known and want.fingerprint != instance.fingerprint == known.fingerprint:
            now = fields(want.service, want.made_from)
            # If the image must be fetched first, the image's own step reports that.
            found[name] = tuple(key for key in _differ(known.fields, now) if want.image or key != "image")
    return found


def changed_cluster(cluster: Cluster, offset: int, fact: ClusterFact, made: Mapping[str, Inputs]) -> tuple[str, ...]:
    """Return the changed fields of the cluster, or an empty tuple if nothing changed or no record describes it."""
    known = made.get(CLUSTER)
    if not known or known.fingerprint != fact.fingerprint or fact.fingerprint == cluster_fingerprint(cluster, offset):
        return ()
    return _differ(known.fields, cluster_fields(cluster, offset))


def _differ(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key)))


def of_services(
    environment: Environment, wants: Mapping[str, Want], instances: Mapping[str, Instance], before: Mapping[str, Inputs]
) -> dict[str, Inputs]:
    """Return the record of the running services; unchanged services keep their earlier record."""
    found = {}
    for name, instance in instances.items():
        want, known = wants.get(name), before.get(name)
        if known and known.fingerprint == instance.fingerprint:
            found[name] = known
        elif want and want.fingerprint == instance.fingerprint:
            data = holds_data(environment.services[name], instance)
            found[name] = Inputs(instance.fingerprint, fields(want.service, want.made_from), data)
    return found


def of_cluster(cluster: Cluster, offset: int, before: Mapping[str, Inputs]) -> Inputs:
    """Return the record of the cluster that is up now."""
    fingerprint = cluster_fingerprint(cluster, offset)
    known = before.get(CLUSTER)
    if known and known.fingerprint == fingerprint:
        return known
    return Inputs(fingerprint, cluster_fields(cluster, offset), data=True)


def holds_data(service: Service, instance: Instance) -> bool:
    """Return whether a replacement loses data.

    `data` in the configuration decides. Without it, a service holds data if it has a volume or refers to its data
    folder.
    """
    if service.data is not None:
        return service.data
    return instance.volumes or _names_its_folder(service)


def _names_its_folder(service: Service) -> bool:
    if service.process is None or service.in_container:
        return False
    words = (*service.process.command, *service.process.env.values(), *service.env.values())
    return any(name.endswith(".data") for word in words for name in names_in(word))
