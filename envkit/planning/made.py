"""What running services were made from, by field: remembered by `up`, compared by the next one to say what changed."""

from __future__ import annotations

from collections.abc import Mapping

from envkit.config.models import Cluster, Environment, Service
from envkit.config.references import names_in
from envkit.planning.facts import ClusterFact, Instance
from envkit.planning.fingerprint import cluster_fields, cluster_fingerprint, fields
from envkit.planning.origin import Made
from envkit.planning.steps import CLUSTER, Want


def changed(
    wants: Mapping[str, Want], instances: Mapping[str, Instance], made: Mapping[str, Made]
) -> dict[str, tuple[str, ...]]:
    """By service, the fields that differ from what it runs with; nothing where the record is of another one."""
    found = {}
    for name, instance in instances.items():
        want, known = wants.get(name), made.get(name)
        if want and known and want.fingerprint != instance.fingerprint == known.fingerprint:
            now = fields(want.service, want.made_from)
            # An image that must be had first is told by the step that gets it.
            found[name] = tuple(key for key in _differ(known.fields, now) if want.image or key != "image")
    return found


def changed_cluster(cluster: Cluster, offset: int, fact: ClusterFact, made: Mapping[str, Made]) -> tuple[str, ...]:
    """Fields of the cluster that differ from what it was made from; nothing where the record is of another one."""
    known = made.get(CLUSTER)
    if not known or known.fingerprint != fact.fingerprint or fact.fingerprint == cluster_fingerprint(cluster, offset):
        return ()
    return _differ(known.fields, cluster_fields(cluster, offset))


def _differ(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key)))


def of_services(
    environment: Environment, wants: Mapping[str, Want], instances: Mapping[str, Instance], before: Mapping[str, Made]
) -> dict[str, Made]:
    """What to remember of the services that run now; what is known already is not worked out again."""
    found = {}
    for name, instance in instances.items():
        want, known = wants.get(name), before.get(name)
        if known and known.fingerprint == instance.fingerprint:
            found[name] = known
        elif want and want.fingerprint == instance.fingerprint:
            data = holds_data(environment.services[name], instance)
            found[name] = Made(instance.fingerprint, fields(want.service, want.made_from), data)
    return found


def of_cluster(cluster: Cluster, offset: int, before: Mapping[str, Made]) -> Made:
    """What to remember of the cluster that is up now."""
    fingerprint = cluster_fingerprint(cluster, offset)
    known = before.get(CLUSTER)
    if known and known.fingerprint == fingerprint:
        return known
    return Made(fingerprint, cluster_fields(cluster, offset), data=True)


def holds_data(service: Service, instance: Instance) -> bool:
    """Whether a replacement loses data: as the service declares it, else by a volume or a folder that it names."""
    if service.data is not None:
        return service.data
    return instance.volumes or _names_its_folder(service)


def _names_its_folder(service: Service) -> bool:
    if service.process is None or service.in_container:
        return False
    words = (*service.process.command, *service.process.env.values(), *service.env.values())
    return any(name.endswith(".data") for word in words for name in names_in(word))
