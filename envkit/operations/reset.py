"""`reset`: return the environment to the state before any test ran, within seconds and without a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from envkit.base.control import Control
from envkit.base.deadline import Deadline
from envkit.base.errors import EnvironmentFailed, EnvkitError, NotReady
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel, until
from envkit.config.models import Environment, Service
from envkit.drivers.stores import Store, store_of
from envkit.inventory import state
from envkit.inventory.drivers import Drivers
from envkit.inventory.probing import Prober
from envkit.operations.locking import locked
from envkit.operations.ownership import ours
from envkit.operations.state_checks import check_not_paused, not_up
from envkit.planning.facts import Instance

DRAIN_SECONDS = 10.0
"""Longest time in seconds until queued events are in the database. If they came later, the next run would see them."""

HEALTHY_SECONDS = 10.0
"""Longest time in seconds until services work again with a database that `reset` had to create again."""

ANSWER_SECONDS = 5.0
"""Longest time in seconds for one HTTP answer about a queue."""


@dataclass(frozen=True)
class Part:
    """One part that was reset: its name, a text about what was done, and the seconds that it took."""

    name: str
    said: str
    seconds: float


def reset(environment: Environment, paths: Paths, drivers: Drivers, control: Control, up_command: str) -> list[Part]:
    """Wait until queues are empty, then reset Redis, databases and cluster in parallel.

    Returns the parts that were reset. Raises `NotUp` or `EnvironmentFailed`.
    """
    prober = drivers.prober(control.cancel)
    return _reset(environment, paths, drivers, prober, control, up_command, thoroughly=True)


def flush(environment: Environment, paths: Paths, drivers: Drivers, control: Control, up_command: str) -> list[Part]:
    """Do the reset that every run begins with: wait until queues are empty, and empty Redis."""
    prober = drivers.prober(control.cancel)
    return _reset(environment, paths, drivers, prober, control, up_command, thoroughly=False)


def _reset(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    prober: Prober,
    control: Control,
    up_command: str,
    *,
    thoroughly: bool,
) -> list[Part]:
    with locked(paths, environment.timeout, control.stream, control.cancel):
        services = _running(environment, paths, drivers, prober, up_command)
        parts = _side_by_side([
            (name, partial(_drain, prober, control.cancel, name, *it))
            for name, it in services.items()
            if "health" in it[0].ports
        ])  # fmt: skip
        parts = [part for part in parts if part.said]
        work: list[tuple[str, Callable[[], str]]] = []
        for name, (service, instance) in services.items():
            if service.probe and (store := store_of(service.probe)):
                work.append((name, partial(_reset_store, store, prober, service, instance, thoroughly=thoroughly)))
        if thoroughly and environment.cluster.wanted and paths.kubeconfig.exists():
            work.append(("cluster", lambda: _clear(environment, paths)))
        parts += [part for part in _side_by_side(work) if part.said]
        if any("made anew" in part.said for part in parts):
            parts += _side_by_side([("services", lambda: _healthy(prober, services))])
        return parts


def _reset_store(store: Store, prober: Prober, service: Service, instance: Instance, *, thoroughly: bool) -> str:
    return store.reset(service.probe, prober.address(service, instance), thoroughly=thoroughly)


def _running(
    environment: Environment, paths: Paths, drivers: Drivers, prober: Prober, up_command: str
) -> dict[str, tuple[Service, Instance]]:
    name = environment.name
    seen = ours(environment, drivers)
    check_not_paused(name, up_command, seen)
    found = {it.service: it for it in seen if it.running}
    services = environment.services
    there = {one: (prober.resolved(one, {one: it}), it) for one, it in found.items() if one in services}
    lasting = any(not service.once for service in services.values())
    if not there and (lasting or state.read(paths) is None):
        raise not_up(name, up_command)
    return there


def _side_by_side(work: Iterable[tuple[str, Callable[[], str]]]) -> list[Part]:
    """Run the tasks in parallel and return their results. If several fail, raise one error that names them all."""
    tasks = list(work)

    def timed(name: str, call: Callable[[], str]) -> Part:
        began = time.monotonic()
        try:
            return Part(name, call(), time.monotonic() - began)
        except EnvkitError as error:
            error.message = f"{name} could not be reset: {error.message}"
            raise

    if not tasks:
        return []
    with ThreadPoolExecutor(len(tasks), thread_name_prefix="reset") as pool:
        futures = [pool.submit(timed, name, call) for name, call in tasks]
        errors = [error for future in futures if (error := future.exception())]
    if not errors:
        return [future.result() for future in futures]
    if len(errors) == 1 or not all(isinstance(error, EnvkitError) for error in errors):
        raise errors[0]
    raise EnvironmentFailed("\n".join(getattr(error, "message", str(error)) for error in errors))


def _drain(prober: Prober, cancel: Cancel, name: str, service: Service, instance: Instance) -> str:
    """Wait until the service answers that its queue is empty. A service without a queue answers 404 and is skipped."""
    import http.client

    from envkit.base.deadline_http import Connection, ask

    target = prober.target(service, instance)
    known = True

    def attempt() -> str | None:
        nonlocal known
        connection = Connection(target.host, target.port("health"), Deadline(ANSWER_SECONDS, cancel))
        try:
            answer = ask(connection, "GET", "/drained", most=4096, cut=True)
        except (OSError, http.client.HTTPException) as error:
            return f"no answer: {error}"
        finally:
            connection.close()
        known = answer.status != http.client.NOT_FOUND
        return None if answer.status in (200, 404) else answer.data.decode(errors="replace")

    try:
        until(attempt, what=f"the queue of {name} to be drained", seconds=DRAIN_SECONDS, cancel=cancel)
    except NotReady as error:
        error.hint = f"`status` shows whether its database works; `restart {name}` makes it try the queue again"
        raise
    return "queue drained" if known else ""


def _clear(environment: Environment, paths: Paths) -> str:
    from envkit.drivers.clusters.api import Api
    from envkit.drivers.clusters.clearing import clear

    api = Api.of(paths.kubeconfig)
    spaces, kinds = clear(api, environment.cluster, environment.name)
    return f"deletion requested: {spaces} namespaces, {kinds} sets of custom resources" if spaces or kinds else "clean"


def _healthy(prober: Prober, services: Mapping[str, tuple[Service, Instance]]) -> str:
    for name, (service, instance) in services.items():
        if service.probe and (broken := prober.health(name, instance, HEALTHY_SECONDS)):
            raise EnvironmentFailed(broken)
    return "ready again"
