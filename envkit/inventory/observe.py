"""Facts: which parts of the environment exist now, and whether they work. This module changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from envkit.base.errors import NotReady
from envkit.base.paths import Paths
from envkit.base.ports import Holder
from envkit.base.waiting import Cancel, until
from envkit.config.models import Environment
from envkit.drivers.runtimes.base import FullRuntime
from envkit.inventory import state
from envkit.inventory.drivers import Drivers
from envkit.inventory.probing import PATIENCE, Prober
from envkit.planning import desired as wanted
from envkit.planning import made, plan
from envkit.planning.facts import ClusterFact, Facts, Instance
from envkit.planning.fingerprint import cluster_fingerprint
from envkit.planning.plan import CLUSTER, Desired, Want


def look(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    cancel: Cancel,
    selected: frozenset[str],
    rebuild: bool = False,
) -> tuple[Desired, Facts]:
    """Return the desired state and the facts. Several threads gather them in parallel."""
    prober = drivers.prober(cancel)
    with cancel.cutting(), ThreadPoolExecutor(8, thread_name_prefix="look") as pool:
        network = pool.submit(drivers.networks.exists, environment.name)
        cluster = pool.submit(_cluster, environment, paths, drivers, cancel, selected)
        instances, doubles = _by_service(drivers.runtime.observe(environment.name))
        image_ids = pool.submit(drivers.supply.ids, _references(environment, drivers))
        unready_work = pool.submit(_unready, environment, drivers.runtime, prober, instances, selected)
        wants = _wants(environment, paths, drivers, instances, image_ids.result())
        for name in left_out(environment, drivers, instances):
            del wants[name]
        record = state.read(paths)
        known = record.made if record else {}
        settled = wanted.resolved_cluster(environment)
        fact = cluster.result()
        facts = Facts(
            network=network.result(),
            network_owner=drivers.networks.owner(environment.name) if network.result() else None,
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


def left_out(environment: Environment, drivers: Drivers, instances: Mapping[str, Instance]) -> dict[str, str]:
    """Return the parts of the cluster that cannot run on this machine, each with the program that is missing."""
    parts = (name for name in environment.cluster_parts if name not in instances)
    return {name: program for name in parts if (program := drivers.lacking(name))}


def _by_service(found: Sequence[Instance]) -> tuple[dict[str, Instance], list[Instance]]:
    """Return one instance for each service, preferably a running one, and a list of the other instances."""
    instances: dict[str, Instance] = {}
    doubles = []
    for instance in sorted(found, key=lambda one: not one.running):
        if instance.service in instances:
            doubles.append(instance)
        else:
            instances[instance.service] = instance
    return instances, doubles


def image_wants(environment: Environment, paths: Paths, drivers: Drivers) -> dict[str, Want]:
    """Return the inputs of each service with its image. Services that run now have no influence on the result."""
    found = _wants(environment, paths, drivers, {}, drivers.supply.ids(_references(environment, drivers)))
    for name in left_out(environment, drivers, {}):
        del found[name]
    return found


def _references(environment: Environment, drivers: Drivers) -> list[str]:
    """Return every image name that a service might use."""
    names = [
        image for service in environment.services.values() for image in wanted.candidates(service, environment.images)
    ]
    return names + [recipe.tag for recipe in drivers.recipes.values()]


def _wants(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    instances: Mapping[str, Instance],
    image_ids: Mapping[str, str],
) -> dict[str, Want]:
    tags = {name: recipe.tag for name, recipe in drivers.recipes.items()}
    return {
        name: wanted.want(environment, name, paths, tags.get(name, ""), image_ids, instances.get(name))
        for name in environment.services
    }


def _cluster(
    environment: Environment, paths: Paths, drivers: Drivers, cancel: Cancel, selected: frozenset[str]
) -> ClusterFact:
    if CLUSTER not in selected:
        return ClusterFact()
    seen = drivers.cluster.observe()
    names = tuple(seen.node_names)
    fact = ClusterFact(seen.state, seen.fingerprint, nodes=len(names), names=names)
    if seen.state != "running" or not seen.fingerprint:
        return fact
    if seen.dead:
        return replace(fact, unready=f"{', '.join(seen.dead)} does not run")
    return _cluster_health(environment, paths, drivers, cancel, fact)


def cluster_lacks(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    cancel: Cancel,
    fact: ClusterFact,
    patience: float = PATIENCE,
) -> bool:
    """Return True if a running cluster does not work within `patience` seconds, or lacks a part of its bootstrap."""
    found = _cluster_health(environment, paths, drivers, cancel, fact, patience)
    return bool(found.unready or found.missing)


def _cluster_health(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    cancel: Cancel,
    fact: ClusterFact,
    patience: float = PATIENCE,
) -> ClusterFact:
    """Return `fact` with the reason why the cluster does not work, or with the missing parts of its bootstrap.

    All requests share one connection of envkit's own client, because importing the Kubernetes SDK takes too long.
    """
    from envkit.base.abilities import able
    from envkit.config.names import CONTROLLERS
    from envkit.drivers.clusters.api import Api, ApiError, Busy
    from envkit.drivers.clusters.base import RestoresKubeconfig
    from envkit.drivers.clusters.bootstrap_wanted import wanted as bootstrap_wanted

    if restoring := able(drivers.cluster, RestoresKubeconfig):
        restoring.restore_kubeconfig()
    api = Api.of(paths.kubeconfig)

    def account() -> str | None:  # search for programs only if the account is missing
        seen = api.default_account()
        return seen if seen and not drivers.lacking(CONTROLLERS) else None

    for probe in (api.readyz, lambda: api.node_ready(fact.nodes), account):
        try:
            until(probe, what="the cluster", seconds=patience, cancel=cancel)
        except NotReady as error:
            return replace(fact, unready=error.message)
    cluster, tokens = environment.cluster, paths.tokens
    lost = [f"token of {name}" for name, it in cluster.identities.items() if it.token and not (tokens / name).exists()]
    try:
        return replace(fact, missing=(*api.missing(bootstrap_wanted(cluster)), *lost))
    except (ApiError, Busy) as error:
        return replace(fact, unready=error.message)


def _unready(
    environment: Environment,
    runtime: FullRuntime,
    prober: Prober,
    instances: Mapping[str, Instance],
    selected: frozenset[str],
) -> dict[str, str]:
    """Probe every running service; return the reason for each service that does not work.

    A probe has `PATIENCE` seconds to pass, because a busy machine can delay a working service. A service is
    probed only once if another service that it needs does not run.
    """
    running = {
        name: instance
        for name, instance in instances.items()
        if instance.running and name in selected and name in environment.services
    }
    dead = {
        name
        for name, service in environment.services.items()
        if service.runs and not service.once and not (name in instances and instances[name].running)
    }

    def ask(name: str) -> str:
        doomed = dead & plan.select(environment, [name])
        return prober.health(name, running[name], 0.0 if doomed else PATIENCE)

    with ThreadPoolExecutor(8, thread_name_prefix="probe") as pool:
        seen = dict(zip(running, pool.map(ask, running), strict=True))
    taken = {name: f"port {it.port} is held by {it}, not by {name}" for name, it in _strangers(runtime, running)}
    return {name: reason for name, reason in {**seen, **taken}.items() if reason}


def _strangers(runtime: FullRuntime, running: Mapping[str, Instance]) -> Iterable[tuple[str, Holder]]:
    """Return each service whose port another program holds, with that program. A probe can pass at such a port too."""
    found: Mapping[str, Holder] = runtime.strangers(list(running.values()))
    return found.items()
