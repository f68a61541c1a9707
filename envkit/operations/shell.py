"""`shell`: open a shell or client in a service. Passwords are never part of a command line."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from envkit.base.abilities import able
from envkit.base.errors import NotUp, ToolMissing, UsageError
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.config.models import Environment, Service
from envkit.drivers.stores import store_of
from envkit.drivers.supply.base import KnowsSources
from envkit.inventory.drivers import Drivers
from envkit.operations.services import instances
from envkit.operations.state_checks import check_not_paused
from envkit.planning.facts import Instance
from envkit.planning.plan import CLUSTER


@dataclass(frozen=True)
class Entry:
    """The command to run on this terminal, the variables to add to the caller's, and a note for the user."""

    argv: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def entry(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    cancel: Cancel,
    environ: Mapping[str, str],
    up_command: str,
    name: str,
    argv: Sequence[str],
    *,
    tty: bool,
) -> Entry:
    """Return the command that runs `argv` in a service or with the cluster; without `argv` it runs a client or shell.

    Raises `NotUp`, `UsageError` (a one-shot on this host has no shell), or `ToolMissing` (the client is not installed).
    """
    prober = drivers.prober(cancel)
    if name == CLUSTER:
        return _cluster(environment, paths, environ, up_command, argv)
    if name in environment.services and not environment.services[name].runs:
        raise UsageError(f"{name} is a one-shot on this host: it has no shell", hint="name a service that runs")
    instance = instances(environment, drivers.runtime, up_command, [name])[name]
    check_not_paused(environment.name, up_command, [instance])
    if not instance.running:
        raise NotUp(f"{name} {instance.death()}", hint="`up` brings it back")
    service = prober.resolved(name, {name: instance})
    return _service(drivers, environ, instance, service, argv, tty)


def client_of(service: Service, ports: Mapping[int, int] | None = None) -> tuple[list[str], dict[str, str]]:
    """Return the client's command and its variables, both empty if the service is not a store.

    `ports` maps container ports to the ports at which the client connects.
    """
    store = store_of(service.probe)
    if store is None:
        return [], {}
    inner = service.ports[getattr(service.probe, "port", "") or next(iter(service.ports))].container
    return store.client(service.probe, (ports or {}).get(inner, inner))


def _service(
    drivers: Drivers, environ: Mapping[str, str], instance: Instance, service: Service, argv: Sequence[str], tty: bool
) -> Entry:
    client, variables = client_of(service, drivers.runtime.ports_beside(instance))
    environ = dict(environ)
    if sources := able(drivers.supply, KnowsSources):  # the client can be in the folder of the service's program
        folders = sources.folders_of(instance.image)
        environ["PATH"] = ":".join([*dict.fromkeys(folders), environ.get("PATH", "")])
    return Entry(*drivers.runtime.way_in(instance, client, variables, argv, environ, tty=tty))


def _cluster(
    environment: Environment, paths: Paths, environ: Mapping[str, str], up_command: str, argv: Sequence[str]
) -> Entry:
    """Return a shell or a command in which kubectl uses this cluster."""
    from envkit.operations.env import read

    record = read(paths, up_command, environ)
    if not environment.cluster.wanted or not paths.kubeconfig.exists():
        raise NotUp(f"environment {environment.name} has no cluster", hint="name a service instead")
    assets = environ.get("KUBEBUILDER_ASSETS")
    path = ":".join(filter(None, [environ.get("PATH", ""), assets or "", *_kubectl(paths)]))
    variables = {**record.variables, "KUBECONFIG": str(paths.kubeconfig), "PATH": path}
    kubectl = shutil.which("kubectl", path=path)
    words = list(argv) or [environ.get("SHELL") or "sh"]
    found = shutil.which(words[0], path=path)
    if not found:
        raise ToolMissing(f"{words[0]} is not on PATH", hint="install it: https://kubernetes.io/docs/tasks/tools/")
    note = "" if argv else f"KUBECONFIG is set to the cluster of {environment.name}; `exit` ends this shell"
    return Entry((found, *words[1:]), variables, note + ("" if argv or kubectl else "; there is no kubectl on PATH"))


def _kubectl(paths: Paths) -> list[str]:
    """Return the folder of the API server's program if the server is a process: kubectl can be in that folder."""
    from envkit.drivers.runtimes.spawning import launch_of

    try:
        return [str(Path(launch_of(paths.services / "apiserver").argv[0]).parent)]
    except (OSError, ValueError):
        return []
