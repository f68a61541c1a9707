"""Make a plan, a graph of steps with reasons, from the desired state and the facts. This module imports no SDK."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from graphlib import TopologicalSorter

from envkit.base.errors import UsageError
from envkit.config.models import Environment
from envkit.planning.facts import ClusterFact, Facts, Instance
from envkit.planning.steps import BOOTSTRAP as BOOTSTRAP
from envkit.planning.steps import CLUSTER as CLUSTER
from envkit.planning.steps import NETWORK as NETWORK
from envkit.planning.steps import PREPARE as PREPARE
from envkit.planning.steps import Action as Action
from envkit.planning.steps import Desired as Desired
from envkit.planning.steps import Plan as Plan
from envkit.planning.steps import Step as Step
from envkit.planning.steps import Subject as Subject
from envkit.planning.steps import Want as Want

NAMES_SHOWN = 6
"""A reason names at most this many changed fields, and gives only the number of the others (`and 3 more`)."""


def select(environment: Environment, names: Iterable[str]) -> frozenset[str]:
    """Return the named services and everything that they need; without names, return all services and the cluster.

    Raises `UsageError` for an unknown name.
    """
    known = {*environment.services, *([CLUSTER] if environment.cluster.wanted else [])}
    wanted = list(names) or sorted(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UsageError(
            f"no service named {', '.join(unknown)} in environment {environment.name}",
            hint=f"there are: {', '.join(sorted(known)) or 'none'}",
        )
    closure: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in closure:
            closure.add(name)
            wanted += environment.services[name].needs if name in environment.services else environment.cluster_parts
    return frozenset(closure)


def make(desired: Desired, facts: Facts) -> Plan:
    """Return the plan that changes the state in `facts` into `desired`."""
    steps: dict[str, Step] = {}
    network_needed = any(desired.services[n].service.in_container for n in desired.selected if n in desired.services)
    if network_needed or (desired.environment.cluster.has_nodes and CLUSTER in desired.selected):
        steps[NETWORK] = _network(facts)
    order = _in_order(desired)
    parts = [name for name in order if name in desired.environment.cluster_parts]
    for name in parts:
        _add_service(steps, desired, facts, name)
    if CLUSTER in desired.selected:
        steps[CLUSTER] = _cluster(desired, facts.cluster, [steps[name] for name in parts])
        steps[BOOTSTRAP] = _bootstrap(steps[CLUSTER], facts.cluster)
    for name in order:
        if name not in parts:
            _add_service(steps, desired, facts, name)
    if desired.selected >= set(desired.services):
        for stray in facts.strays:
            step = Step(f"remove {stray.name}", Subject.STRAY, stray.name, Action.REMOVE, _stray_reason(stray))
            steps[step.id] = step
    return Plan(_behind_a_barrier(tuple(_after_what_makes_way(steps, desired, facts).values()), facts))


def removes(step: Step, facts: Facts) -> bool:
    """Return whether the step removes something that exists now."""
    if step.subject is Subject.SERVICE:
        return step.name in facts.instances and step.action in (Action.REPLACE, Action.RUN)
    return step.subject is Subject.STRAY or (step.subject is Subject.CLUSTER and step.action is Action.REPLACE)


def _after_what_makes_way(steps: dict[str, Step], desired: Desired, facts: Facts) -> dict[str, Step]:
    """Return the steps, in which a service starts after the removal of the containers that hold its ports.

    This order is needed after a service was renamed. Two services that exchange their ports would wait for each
    other; therefore only one of them waits.
    """
    held = {port: step.id for step in steps.values() for port in _published(step, facts) if removes(step, facts)}
    found = dict(steps)
    for step in steps.values():
        if step.subject is Subject.SERVICE and step.action not in (Action.KEEP, Action.RESUME):
            ports = desired.services[step.name].service.ports.values()
            holders = {held[port.host] for port in ports if isinstance(port.host, int) and port.host in held}
            more = [it for it in sorted(holders - {step.id, *step.needs}) if not _leads_to(found, it, step.id)]
            found[step.id] = replace(step, needs=(*step.needs, *more))
    return found


def _published(step: Step, facts: Facts) -> Collection[int]:
    instances = (*facts.instances.values(), *facts.strays)
    return {port for it in instances if step.name in (it.service, it.name) for port in it.published.values()}


def _leads_to(steps: Mapping[str, Step], start: str, end: str) -> bool:
    """Return whether the step `start` needs the step `end`, directly or indirectly."""
    return start == end or any(_leads_to(steps, need, end) for need in steps[start].needs if need in steps)


def _behind_a_barrier(steps: tuple[Step, ...], facts: Facts) -> tuple[Step, ...]:
    """Return the steps with the step `prepare` between the images and all other changes.

    If no step removes anything, the steps stay as they are. `prepare` does everything that can fail and does
    not change the environment, so that such failures happen before the first removal.
    """
    removed = [step.about for step in steps if removes(step, facts)]
    if not removed:
        return steps
    images = tuple(step for step in steps if step.subject is Subject.IMAGE)
    reason = f"before {', '.join(removed)} {'are' if len(removed) > 1 else 'is'} removed"
    barrier = Step(PREPARE, Subject.PREPARE, PREPARE, Action.PREPARE, reason, tuple(step.id for step in images))
    rest = (step for step in steps if step.subject is not Subject.IMAGE)
    held = (replace(step, needs=(PREPARE, *step.needs)) if step.changes else step for step in rest)
    return (*images, barrier, *held)


def _add_service(steps: dict[str, Step], desired: Desired, facts: Facts, name: str) -> None:
    want = desired.services[name]
    image = _image(want, desired.rebuild)
    step = _service(want, facts, steps, image)
    if image is None and removes(step, facts) and _lost(want, facts):
        image = Step(f"image {name}", Subject.IMAGE, name, Action.PULL, "is not here any more")
        step = replace(step, needs=(*step.needs, image.id))
    if image:
        steps.setdefault(image.id, image)
    steps[name] = step


def _lost(want: Want, facts: Facts) -> bool:
    """Return whether the image or program of the running instance is no longer present on this host."""
    return want.image == facts.instances[want.name].image != "" and not facts.image_ids.get(want.image)


def _in_order(desired: Desired) -> list[str]:
    graph = {
        name: [need for need in want.service.needs if need != CLUSTER]
        for name, want in desired.services.items()
        if name in desired.selected
    }
    return [name for name in TopologicalSorter(graph).static_order() if name in desired.services]


def _network(facts: Facts) -> Step:
    action, reason = (Action.KEEP, "is there") if facts.network else (Action.CREATE, "is not there")
    return Step(NETWORK, Subject.NETWORK, NETWORK, action, reason)


def _cluster(desired: Desired, fact: ClusterFact, parts: Sequence[Step]) -> Step:
    action, reason = _cluster_verdict(desired, fact)
    fresh = [step.id for step in parts if _is_new(step)]
    if fresh:
        action, reason = Action.CREATE, f"new: {', '.join(fresh)}"
    # Controllers start in parallel: applying manifests does not need them, and the cluster's last check waits for them.
    needs = tuple(step.id for step in parts if any(step.id in other.needs for other in parts))
    if desired.environment.cluster.has_nodes:
        needs = (NETWORK,)
    return Step(CLUSTER, Subject.CLUSTER, desired.environment.cluster.type, action, reason, needs)


def _cluster_verdict(desired: Desired, fact: ClusterFact) -> tuple[Action, str]:
    if fact.state == "absent":
        return Action.CREATE, "is not there"
    if not fact.fingerprint:
        return Action.REPLACE, "its creation never finished"
    if fact.fingerprint != desired.cluster_fingerprint:
        return Action.REPLACE, what_changed(fact.changed, "its configuration changed")
    if fact.state == "stopped":
        return Action.REPLACE, "its node has stopped, and etcd in memory does not survive that"
    if fact.state == "paused":
        return Action.RESUME, "is paused"
    if fact.unready:
        return Action.REPLACE, f"does not work: {fact.unready}"
    return Action.KEEP, "is ready"


def _bootstrap(cluster: Step, fact: ClusterFact) -> Step:
    if cluster.action in (Action.CREATE, Action.REPLACE):
        action, reason = Action.APPLY, "the cluster is new"
    elif cluster.action is Action.RESUME:
        action, reason = Action.APPLY, "the cluster was paused"
    elif fact.missing:
        action, reason = Action.APPLY, f"missing or changed: {', '.join(fact.missing)}"
    else:
        action, reason = Action.KEEP, "is as it should be"
    return Step(BOOTSTRAP, Subject.BOOTSTRAP, BOOTSTRAP, action, reason, (CLUSTER,))


def _image(want: Want, rebuild: bool) -> Step | None:
    """Return the step that fetches or builds the image, or None if nothing must be fetched or built."""
    if not want.service.runs:
        return None
    if want.tag and rebuild:
        return Step(f"image {want.name}", Subject.IMAGE, want.name, Action.BUILD, "requested by --build")
    if want.image:
        return None
    if want.tag and not want.candidates:
        reason = "no image of these sources is here"
        return Step(f"image {want.name}", Subject.IMAGE, want.name, Action.BUILD, reason)
    several = len(want.candidates) > 1
    reason = f"none of its {len(want.candidates)} candidates is here" if several else "is not here"
    who = want.name if want.tag else want.candidates[0]
    return Step(f"image {who}", Subject.IMAGE, want.name, Action.PULL, reason)


def _service(want: Want, facts: Facts, steps: Mapping[str, Step], image: Step | None) -> Step:
    needs = [NETWORK] if want.service.in_container else []
    needs += [image.id] if image else []
    for need in want.service.needs:
        needs.append(BOOTSTRAP if need == CLUSTER else need)
    fresh = [need for need in want.service.needs if _is_new(steps.get(need))]
    instance = facts.instances.get(want.name)
    if not want.service.runs:
        action, reason = _host_one_shot(want, facts.done, fresh)
    elif want.service.once:
        action, reason = _one_shot(want, instance, fresh, image)
    else:
        action, reason = _running(want, instance, facts, fresh, image)
    return Step(want.name, Subject.SERVICE, want.name, action, reason, tuple(dict.fromkeys(needs)))


def _is_new(step: Step | None) -> bool:
    return step is not None and step.action in (Action.CREATE, Action.REPLACE, Action.RUN)


def _running(
    want: Want, instance: Instance | None, facts: Facts, fresh: Collection[str], image: Step | None
) -> tuple[Action, str]:
    if instance is None:
        return Action.CREATE, "is not there"
    paused = instance.state == "paused"
    if not instance.running and not paused:
        return Action.REPLACE, instance.death()
    if image is not None:
        return Action.REPLACE, f"its image must be fetched or built first: {image.reason}"
    if instance.fingerprint != want.fingerprint:
        return Action.REPLACE, what_changed(facts.changed.get(want.name, ()))
    if fresh:
        return Action.REPLACE, f"what it needs is new: {', '.join(fresh)}"
    if paused:
        return Action.RESUME, "is paused"
    if want.name in facts.unready:
        return Action.REPLACE, f"does not work: {facts.unready[want.name]}"
    return Action.KEEP, "runs and answers"


def what_changed(fields: Sequence[str], unknown: str = "its configuration or image changed") -> str:
    """Return the reason with the names of the changed fields, or `unknown` if the record does not have them."""
    if not fields:
        return unknown
    more = f" and {len(fields) - NAMES_SHOWN} more" if len(fields) > NAMES_SHOWN else ""
    return f"changed: {', '.join(fields[:NAMES_SHOWN])}{more}"


def _one_shot(want: Want, instance: Instance | None, fresh: Collection[str], image: Step | None) -> tuple[Action, str]:
    if instance is None:
        return Action.RUN, "has not run"
    if instance.state != "exited" or instance.exit_code != 0:
        return Action.RUN, f"did not succeed: {instance.death()}"
    if image is not None or instance.fingerprint != want.fingerprint:
        return Action.RUN, "its configuration or image changed"
    return (Action.RUN, f"what it needs is new: {', '.join(fresh)}") if fresh else (Action.KEEP, "ran and succeeded")


def _host_one_shot(want: Want, done: Mapping[str, str], fresh: Collection[str]) -> tuple[Action, str]:
    if want.name not in done:
        return Action.RUN, "there is no record of a run"
    if done[want.name] != want.fingerprint:
        return Action.RUN, "it changed"
    return (Action.RUN, f"what it needs is new: {', '.join(fresh)}") if fresh else (Action.KEEP, "ran and succeeded")


def _stray_reason(stray: Instance) -> str:
    return f"service {stray.service or '?'} is not in the configuration any more"
