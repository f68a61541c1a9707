"""Chooses a lane, which is a named pair of runtime and cluster, and adapts the environment to this lane.

The lane `containers` runs containers and kind. The lane `mixed` runs containers and envtest. The lane `embedded` runs
processes and envtest.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from envkit.base.errors import EngineError, UsageError
from envkit.base.events import Stream
from envkit.base.paths import Paths, write_private
from envkit.base.ports import bindable
from envkit.base.registry import CLUSTERS, CONTAINERS, LANES, has_nodes, runs_processes
from envkit.config.models import Environment, Port, Service
from envkit.drivers.clusters.base import kind_of
from envkit.drivers.clusters.pki import Pki
from envkit.drivers.engine.discovery import can_start
from envkit.drivers.runtimes.base import runtime_kind
from envkit.drivers.service_files import expand_files
from envkit.planning import secrets
from envkit.planning.values import authority_file

Lane = str
AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """The chosen lane and the reason for the choice."""

    lane: Lane
    why: str


@dataclass(frozen=True)
class OpenLane:
    """An open lane: the environment in the form for this lane, and the address of the runtime.

    `settle` returns the environment for a port offset, and also makes the files that the environment refers to and
    records its ports. Call it only while you hold the environment's lock. Opening a lane makes no file, so commands
    that only read can use `environment`.
    """

    choice: Choice
    environment: Environment
    address: Any
    settle: Callable[[int], Environment]


@contextmanager
def open_lane(environment: Environment, environ: Mapping[str, str], paths: Paths, stream: Stream) -> Iterator[OpenLane]:
    """Choose the lane, open its runtime, and yield the open lane.

    `auto` chooses a lane with containers if an engine is installed, and the lane `embedded` if not. If the installed
    engine does not answer, this raises `EngineError` with a hint, because the lane must not change without notice.
    """
    _refuse(environment)
    choice = _chosen(environment, environ)
    if environment.lane == AUTO and runs_processes(choice.lane):
        stream.note(f"lane {choice.lane}: {choice.why}")
    kind = runtime_kind(LANES[choice.lane].runtime)
    with _advised(environment), kind.enter(environment, environ, paths, stream) as address:
        why = choice.why or f"{address.engine} answers"
        yield _entered(Choice(choice.lane, why), environment, paths, address)


def _chosen(environment: Environment, environ: Mapping[str, str]) -> Choice:
    """Return the requested lane, or the lane that this host can run; `why` is empty if an engine is the reason."""
    if environment.lane != AUTO:
        return Choice(environment.lane, "asked for")
    if can_start(environment.engine, environ):
        return Choice(_lane_on_engine(environment), "")
    return Choice(next(filter(runs_processes, LANES)), "no container engine was found")


def _entered(choice: Choice, environment: Environment, paths: Paths, address: Any) -> OpenLane:
    def settle(port_offset: int) -> Environment:
        return finalize_for_lane(
            environment.model_copy(update={"port_offset": port_offset}), choice.lane, paths, make=True
        )

    return OpenLane(choice, finalize_for_lane(environment, choice.lane, paths), address, settle)


@contextmanager
def _advised(environment: Environment) -> Iterator[None]:
    """Add `--lane embedded` to the hint of an `EngineError`, if the user requested neither a lane nor an engine."""
    try:
        yield
    except EngineError as error:
        if environment.lane == environment.engine == AUTO and error.hint:
            error.hint += "\nor choose the lane that needs no engine: --lane embedded"
        raise


def _refuse(environment: Environment) -> None:
    """Raise `UsageError` for an unknown type of cluster or for contradicting options, before anything changes."""
    cluster = environment.cluster
    if cluster.wanted and cluster.type not in CLUSTERS:
        known = ", ".join(CLUSTERS)
        raise UsageError(f"cluster type {cluster.type} is not available yet", hint=f"use {known} or none")
    better = _lane_on_engine(environment)
    if environment.lane == CONTAINERS and better != CONTAINERS:
        own, asked = LANES[environment.lane].cluster, environment.cluster.type
        raise UsageError(
            f"lane {environment.lane} has a {own} cluster, and cluster.type is {asked}", hint=f"use lane {better}"
        )
    if runs_processes(environment.lane) and environment.engine != AUTO:
        raise UsageError(
            f"lane {environment.lane} uses no engine, and engine is {environment.engine}", hint="leave one out"
        )


def _lane_on_engine(environment: Environment) -> Lane:
    """Return the lane that pairs containers with the requested cluster, or `containers` if no lane does that."""
    pairs = (name for name, lane in LANES.items() if lane == (CONTAINERS, environment.cluster.type))
    return next(pairs, CONTAINERS)


def lane_fits(lane: str, environment: Environment) -> bool:
    """Return whether the lane can run the environment's cluster."""
    return lane != CONTAINERS or _lane_on_engine(environment) == lane


def finalize_for_lane(environment: Environment, lane: Lane, paths: Paths, *, make: bool = False) -> Environment:
    """Return the environment for that lane: each service has one form only, and the cluster's parts are services.

    For a lane that runs processes, every port has a number. If `make` is true, this also makes certificates and secrets
    and records the ports. Raises `UsageError` with the names of all services that cannot run in that lane, or if the
    configured ports need nodes and the lane has no nodes.
    """
    environment = _with_cluster(environment, lane)
    kind = kind_of(environment.cluster.type) if environment.cluster.wanted else None
    if kind and kind.expand:
        environment = kind.expand(environment, paths, make)
    services = {name: _form(service, lane) for name, service in environment.services.items()}
    _refuse_homeless(services, lane)
    if make:
        secrets.make(environment.secrets, paths)
    pki = Pki(authority_file(paths).parent, make)
    services = {name: expand_files(service, name, environment, pki) for name, service in services.items()}
    environment = environment.model_copy(update={"services": services})
    return _with_ports(environment, paths, make) if runs_processes(lane) else environment


def _with_cluster(environment: Environment, lane: Lane) -> Environment:
    """Return the environment with a cluster that the lane can run.

    If the lane's own kind of cluster has no nodes, it replaces a requested cluster with nodes. Raises `UsageError` if
    `cluster.ports` need nodes.
    """
    own = LANES[lane].cluster
    if environment.cluster.has_nodes and not has_nodes(own):
        environment = environment.model_copy(update={"cluster": environment.cluster.model_copy(update={"type": own})})
    if environment.cluster.wanted and not environment.cluster.has_nodes:
        _refuse_nodes(environment, lane)
    return environment


def _refuse_nodes(environment: Environment, lane: Lane) -> None:
    ports = ", ".join(str(port.node) for port in environment.cluster.ports)
    if ports:
        raise UsageError(
            f"cluster.ports need nodes (port {ports}), and the API server of lane {lane} has none",
            hint="use lane containers, or leave cluster.ports out",
        )


def _refuse_homeless(services: Mapping[str, Service], lane: Lane) -> None:
    homeless = ", ".join(name for name, service in services.items() if not _somewhere(service, lane))
    if homeless and runs_processes(lane):
        raise UsageError(
            f"these services have an image only, and lane {lane} runs processes: {homeless}",
            hint="give them `process: {command: [...]}`, or use lane containers or mixed",
        )
    if homeless:
        raise UsageError(
            f"these services are processes only, and lane {lane} runs containers: {homeless}",
            hint="give them an image, or use lane embedded",
        )


def _form(service: Service, lane: Lane) -> Service:
    """Return the service without the form that the lane does not use: without its process, or without its image.

    In a lane that runs processes, a service that has no process stays unchanged.
    """
    if not runs_processes(lane):
        return service.model_copy(update={"process": None})
    return service.model_copy(update={"image": (), "build": None}) if service.process else service


def _somewhere(service: Service, lane: Lane) -> bool:
    here = service.process if runs_processes(lane) else service.in_container
    return bool(here or service.host_command or service.migrations)


def _with_ports(environment: Environment, paths: Paths, make: bool) -> Environment:
    """Return the environment with a number for each port.

    envkit chooses the ports of processes and keeps them until `down`. An engine chooses the ports of containers.
    """
    chosen = _remembered(paths)
    unnumbered = [
        f"{name}.{port_name}"
        for name, service in environment.services.items()
        for port_name, port in service.ports.items()
        if not isinstance(port.host, int)
    ]
    fresh = [name for name in unnumbered if name not in chosen]
    if fresh:
        others = {*environment.host_ports(), *chosen.values()}
        chosen |= dict(zip(fresh, free_ports(len(fresh), others), strict=True))
    if fresh and make:
        paths.make()
        write_private(paths.folder / "ports.json", json.dumps(chosen))

    def number(name: str, port_name: str, port: Port) -> Port:
        key = f"{name}.{port_name}"
        return port.model_copy(update={"host": chosen[key] - environment.port_offset}) if key in unnumbered else port

    services = {
        name: service.model_copy(
            update={"ports": {key: number(name, key, port) for key, port in service.ports.items()}}
        )
        for name, service in environment.services.items()
    }
    return environment.model_copy(update={"services": services})


def _remembered(paths: Paths) -> dict[str, int]:
    try:
        raw = json.loads((paths.folder / "ports.json").read_text())
        return {str(name): int(port) for name, port in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


QUIET = range(20000, 32000)
"""Port numbers below the range for outgoing connections (from 32768 on Linux). While a server restarts, the kernel can
give a port from that range to a client that keeps calling the server; the client then blocks the server's port."""


def free_ports(count: int, others: Collection[int] = ()) -> list[int]:
    """Return `count` different ports of 127.0.0.1 that nothing listens on now and that are not in `others`."""
    shuffled = random.sample(QUIET, len(QUIET))
    return list(itertools.islice((port for port in shuffled if port not in others and bindable(port)), count))
