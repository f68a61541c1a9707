"""Facts: what of the environment is there now and whether it works. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from envkit.base.errors import EngineError, NotReady, ServiceDied
from envkit.base.ports import Holder
from envkit.base.waiting import until
from envkit.config.models import Service
from envkit.drivers import probes
from envkit.inventory import state
from envkit.inventory.session import Session
from envkit.planning import desired as wanted
from envkit.planning import made, plan
from envkit.planning.facts import ClusterFact, Facts, Instance
from envkit.planning.fingerprint import cluster_fingerprint
from envkit.planning.plan import CLUSTER, Desired, Want

PATIENCE = 3.0
"""Seconds within which a service that runs must satisfy its probe before it is called broken and replaced."""


def look(session: Session, selected: frozenset[str], rebuild: bool = False) -> tuple[Desired, Facts]:
    """What is wanted and what is there, gathered in parallel."""
    environment = session.environment
    with session.cancel.cutting(), ThreadPoolExecutor(8, thread_name_prefix="look") as pool:
        network = pool.submit(session.networks.exists, environment.name)
        cluster = pool.submit(_cluster, session, selected)
        instances, doubles = _by_service(session.runtime.observe(environment.name))
        image_ids = pool.submit(session.images.ids, _references(session))
        unready_work = pool.submit(_unready, session, instances, selected)
        wants = _wants(session, instances, image_ids.result())
        for name in left_out(session, instances):
            del wants[name]
        record = state.read(session.paths)
        known = record.made if record else {}
        settled = wanted.settled_cluster(environment)
        fact = cluster.result()
        facts = Facts(
            network=network.result(),
            network_owner=session.networks.owner(environment.name) if network.result() else None,
            instances=instances,
            strays=(*(found for found in instances.values() if found.service not in environment.services), *doubles),
            image_ids=image_ids.result(),
            cluster=replace(fact, changed=made.changed_cluster(settled, environment.port_offset, fact, known)),
            unready=unready_work.result(),
            done=record.done if record else {},
            changed=made.changed(wants, instances, known),
            data=frozenset(name for name, it in known.items() if it.data),
        )
    fingerprint = cluster_fingerprint(settled, environment.port_offset)
    return Desired(environment, wants, fingerprint, selected, rebuild), facts


def left_out(session: Session, instances: Mapping[str, Instance]) -> dict[str, str]:
    """Parts of the cluster that this machine cannot have, with the program that is missing."""
    parts = (name for name in session.environment.cluster_parts if name not in instances)
    return {name: program for name in parts if (program := session.lacking(name))}


def _by_service(found: Sequence[Instance]) -> tuple[dict[str, Instance], list[Instance]]:
    """One instance for each service, the running one first; what else carries the label is a stray."""
    instances: dict[str, Instance] = {}
    doubles = []
    for instance in sorted(found, key=lambda one: not one.running):
        if instance.service in instances:
            doubles.append(instance)
        else:
            instances[instance.service] = instance
    return instances, doubles


def image_wants(session: Session) -> dict[str, Want]:
    """The services that are wanted and the image of each, as if none of them ran."""
    found = _wants(session, {}, session.images.ids(_references(session)))
    for name in left_out(session, {}):
        del found[name]
    return found


def _references(session: Session) -> list[str]:
    """Every image name that might be used."""
    names = [
        image
        for service in session.environment.services.values()
        for image in wanted.candidates(service, session.environment.images)
    ]
    return names + [recipe.tag for recipe in session.recipes.values()]


def _wants(session: Session, instances: Mapping[str, Instance], image_ids: Mapping[str, str]) -> dict[str, Want]:
    environment = session.environment
    tags = {name: recipe.tag for name, recipe in session.recipes.items()}
    return {
        name: wanted.want(environment, name, session.paths, tags.get(name, ""), image_ids, instances.get(name))
        for name in environment.services
    }


def _cluster(session: Session, selected: frozenset[str]) -> ClusterFact:
    if CLUSTER not in selected:
        return ClusterFact()
    seen = session.cluster.observe()
    names = tuple(str(getattr(node, "name", node)) for node in seen.nodes)
    fact = ClusterFact(seen.state, seen.fingerprint, nodes=len(names), names=names)
    if seen.state != "running" or not seen.fingerprint:
        return fact
    if dead := getattr(seen, "dead", ()):
        return replace(fact, unready=f"{', '.join(dead)} does not run")
    return _cluster_health(session, fact)


def cluster_lacks(session: Session, fact: ClusterFact, patience: float = PATIENCE) -> bool:
    """Whether a running cluster does not work within `patience` seconds, or something of its bootstrap is missing."""
    found = _cluster_health(session, fact, patience)
    return bool(found.unready or found.missing)


def _cluster_health(session: Session, fact: ClusterFact, patience: float = PATIENCE) -> ClusterFact:
    """Whether a finished cluster works, and what of its bootstrap is missing; one kept-open connection, no SDK."""
    from envkit.base.abilities import able
    from envkit.config.names import CONTROLLERS
    from envkit.drivers.clusters.api import Api, ApiError, Busy
    from envkit.drivers.clusters.base import RestoresKubeconfig
    from envkit.drivers.clusters.wanted import wanted as bootstrap_wanted

    if restoring := able(session.cluster, RestoresKubeconfig):
        restoring.restore_kubeconfig()
    api = Api.of(session.paths.kubeconfig)

    def account() -> str | None:  # programs are looked for only where it is missing
        seen = api.default_account()
        return seen if seen and not session.lacking(CONTROLLERS) else None

    for probe in (api.readyz, lambda: api.node_ready(fact.nodes), account):
        try:
            until(probe, what="the cluster", seconds=patience, cancel=session.cancel)
        except NotReady as error:
            return replace(fact, unready=error.message)
    cluster, tokens = session.environment.cluster, session.paths.tokens
    lost = [f"token of {name}" for name, it in cluster.identities.items() if it.token and not (tokens / name).exists()]
    try:
        return replace(fact, missing=(*api.missing(bootstrap_wanted(cluster)), *lost))
    except (ApiError, Busy) as error:
        return replace(fact, unready=error.message)


def _unready(session: Session, instances: Mapping[str, Instance], selected: frozenset[str]) -> dict[str, str]:
    """Probes of everything that runs; a moment's patience, for a busy machine is no broken service.

    None for what needs something that does not run: it is asked once, for the report.
    """
    running = {
        name: instance
        for name, instance in instances.items()
        if instance.running and name in selected and name in session.environment.services
    }
    dead = {
        name
        for name, service in session.environment.services.items()
        if service.runs and not service.once and not (name in instances and instances[name].running)
    }

    def ask(name: str) -> str:
        doomed = dead & plan.select(session.environment, [name])
        return health(session, name, running[name], 0.0 if doomed else PATIENCE)

    with ThreadPoolExecutor(8, thread_name_prefix="probe") as pool:
        seen = dict(zip(running, pool.map(ask, running), strict=True))
    taken = {name: f"port {it.port} is held by {it}, not by {name}" for name, it in _strangers(session, running)}
    return {name: reason for name, reason in {**seen, **taken}.items() if reason}


def _strangers(session: Session, running: Mapping[str, Instance]) -> Iterable[tuple[str, Holder]]:
    """A probe that passes only proves that somebody answers."""
    found: Mapping[str, Holder] = session.runtime.strangers(list(running.values()))
    return found.items()


def health(session: Session, name: str, instance: Instance, patience: float = PATIENCE) -> str:
    """What is wrong with a running service, empty when its probe passes; one that ends meanwhile is not waited for."""
    service = probed(session, name, {name: instance})
    if service.probe is None:
        return ""
    probe, target = service.probe, target_of(session, service, instance)

    def attempt() -> str | None:
        if (seen := probe.attempt(target)) is not None:
            now = session.runtime.look(instance)
            if now.state in ("exited", "dead"):
                raise ServiceDied(now.death())
        return seen

    try:
        until(attempt, what=name, seconds=patience, cancel=session.cancel)
    except (NotReady, EngineError, ServiceDied) as error:
        return error.message
    return ""


def probed(session: Session, name: str, instances: Mapping[str, Instance]) -> Service:
    """The service as seen from this host: what probes are asked with."""
    return wanted.outside(session.environment, name, session.paths, chosen_ports(session, instances), session.this_host)


def chosen_ports(session: Session, instances: Mapping[str, Instance]) -> dict[str, int]:
    """Host ports as the engine published them, by `service.port`."""
    found = {}
    for name, instance in instances.items():
        service = session.environment.services.get(name)
        for port_name, port in service.ports.items() if service else ():
            if port.container in instance.published:
                found[f"{name}.{port_name}"] = instance.published[port.container]
    return found


def target_of(session: Session, service: Service, instance: Instance) -> probes.Target:
    """Where to ask, and how to run a command there."""

    def port(name: str) -> int:
        key = name or next(iter(service.ports))
        if service.ports[key].container not in instance.published:  # it was made before it was given that port
            raise NotReady(f"{instance.service} does not publish its port {key}")
        return instance.published[service.ports[key].container]

    return probes.Target(port, lambda argv: session.runtime.execute(instance, argv), cancel=session.cancel)


def probe_address(session: Session, service: Service, instance: Instance) -> tuple[str, int]:
    """Return host and port of the service that its probe asks."""
    target = target_of(session, service, instance)
    return target.host, target.port(getattr(service.probe, "port", ""))
