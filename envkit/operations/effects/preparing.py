"""Check what the changes need before anything is removed. If a check fails, the environment stays as it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from envkit.base.abilities import able
from envkit.base.errors import Cancelled, EnvironmentFailed, EnvkitError, ImageUnavailable, StepsFailed, ToolMissing
from envkit.base.paths import Paths
from envkit.base.ports import holders, port_taken
from envkit.base.waiting import Aborted, Cancel
from envkit.config.models import Environment, Service
from envkit.config.shipped import migrations_folder
from envkit.drivers.clusters.base import ChecksTools
from envkit.drivers.runtimes.base import FullRuntime
from envkit.inventory.drivers import Drivers
from envkit.planning import desired as wanted
from envkit.planning.facts import Facts
from envkit.planning.plan import removes, select
from envkit.planning.steps import BOOTSTRAP, CLUSTER, Action, Desired, Plan, Step, Subject, Want

Report = Callable[[str], None]
Check = tuple[str, Callable[[], object]]


def at_once(environment: Environment, drivers: Drivers, steps: Plan, desired: Desired, facts: Facts) -> None:
    """Check tools and ports before any change, in about a millisecond. Raises one error with all faults."""
    checks: list[Check] = [
        (step.about, partial(_tools, environment, drivers, steps, desired, step)) for step in starting(steps)
    ]
    _all(checks)
    _ports(environment, drivers.runtime, steps, desired, facts)


def starting(steps: Plan) -> Iterator[Step]:
    """Yield the steps that start or replace a service or the cluster; a step that resumes one is left out."""
    for step in steps.changes:
        if step.subject in (Subject.SERVICE, Subject.CLUSTER) and step.action is not Action.RESUME:
            yield step


def prepare(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    steps: Plan,
    facts: Facts,
    want: Callable[[Step], Want],
    report: Report,
    cancel: Cancel,
) -> str:
    """Check and fetch everything that the plan's steps need, except service images, which are present already.

    `want` returns the inputs of a step's service, with its image. Raises one error with all faults.
    """
    checks: list[Check] = []
    for step in steps.changes:
        if step.subject is Subject.CLUSTER and step.action is not Action.RESUME:
            checks.append((CLUSTER, partial(drivers.cluster.prepare, environment.cluster, report, cancel)))
        elif step.subject is Subject.BOOTSTRAP:
            checks.append((BOOTSTRAP, partial(_manifests, environment)))
    checks += [
        (step.name, partial(_service, environment, paths, drivers, facts, want(step))) for step in _services(steps)
    ]
    _all(checks)
    return "everything for the changes is ready"


def _services(steps: Plan) -> Iterator[Step]:
    return (step for step in starting(steps) if step.subject is Subject.SERVICE)


def _all(checks: list[Check]) -> None:
    errors: dict[str, EnvkitError] = {}
    for name, check in checks:
        try:
            check()
        except (Aborted, Cancelled):
            raise
        except EnvkitError as error:
            errors[name] = error
        except OSError as error:
            errors[name] = _unreadable(error)
    if len(errors) == 1:
        name, only = errors.popitem()
        only.message = only.message if only.message.startswith(name) else f"{name}: {only.message}"
        raise only
    if errors:
        raise StepsFailed(errors)


def _unreadable(error: OSError) -> EnvkitError:
    return EnvironmentFailed(
        f"cannot read {error.filename}: {error.strerror}", hint="envkit has your permissions: check its owner and mode"
    )


# Tools and ports


def _tools(environment: Environment, drivers: Drivers, steps: Plan, desired: Desired, step: Step) -> None:
    if step.subject is Subject.CLUSTER:
        if cluster := able(drivers.cluster, ChecksTools):
            cluster.check_tools()
        return
    service = desired.services[step.name].service
    if service.host_command is not None:
        _host_program(environment, drivers.caller.environ, steps, desired, step.name)
    elif service.process and not service.in_container and service.process.supply is None:
        _own_program(drivers, service.process.reference)


def _own_program(drivers: Drivers, reference: str) -> None:
    """Raise `ImageUnavailable` if a program that envkit cannot fetch is not on PATH."""
    if not drivers.supply.id_of(reference):
        raise ImageUnavailable(f"{reference.partition(':')[2]} is not on PATH", hint="install it, or write its path")


def _host_program(
    environment: Environment, environ: Mapping[str, str], steps: Plan, desired: Desired, name: str
) -> None:
    """Raise `ToolMissing` if the program of a one-shot on this host does not exist.

    If the plan has several one-shots on this host, a program given by its path passes the check: an earlier one-shot
    can create the program.
    """
    service = desired.services[name].service
    program, *_ = service.host_command or ("",)
    commands = [step for step in _services(steps) if desired.services[step.name].service.host_command]
    if "/" in program:
        found = len(commands) > 1 or bool(shutil.which(Path(environment.root, program)))
    else:
        found = bool(shutil.which(program, path={**environ, **service.env}.get("PATH")))
    if not found:
        raise ToolMissing(f"{program} is not installed or not on PATH", hint="install it, or write its path")


def _ports(environment: Environment, runtime: FullRuntime, steps: Plan, desired: Desired, facts: Facts) -> None:
    """Raise `PortTaken` with each taken port that the plan binds. Ports whose holder the plan removes count as free."""
    offset = environment.port_offset
    wanted_ports: dict[int, str] = {}
    for step in starting(steps):
        if step.subject is Subject.CLUSTER:
            wanted_ports |= {port.host + offset: CLUSTER for port in environment.cluster.ports}
            continue
        for port in desired.services[step.name].service.ports.values():
            if isinstance(port.host, int):
                wanted_ports[port.host] = step.name
    if not wanted_ports:
        return
    going = {step.about for step in steps.steps if removes(step, facts)}
    instances = (*facts.instances.values(), *facts.strays)
    free = {port for it in instances if going & {it.service, it.name} for port in it.published.values()}
    published = runtime.published()
    free |= {port for port, holder in published.items() if CLUSTER in going and holder.container in facts.cluster.names}
    taken = holders((port for port in wanted_ports if port not in free), published)
    if taken:
        raise port_taken(wanted_ports, taken)


# Files that a service or the bootstrap reads


def _manifests(environment: Environment) -> None:
    from envkit.drivers.clusters.manifests import load

    load(environment.cluster.manifests)


def _service(environment: Environment, paths: Paths, drivers: Drivers, facts: Facts, want: Want) -> None:
    if want.service.migrations:
        from envkit.drivers.databases.migrations import read

        read(migrations_folder(want.service.migrations.folder))
    if not want.service.runs:
        return
    if lacks := drivers.supply.lacks(want.service, want.image):
        raise ImageUnavailable(lacks, hint="install or load it; what runs now stays until it is here")
    for file in _resolved(environment, paths, drivers, facts, want).files:
        if file.source is not None:
            with Path(file.source).open("rb"):
                pass


def _resolved(environment: Environment, paths: Paths, drivers: Drivers, facts: Facts, want: Want) -> Service:
    """Return the service as it will be started. Raises `EnvironmentFailed` if a reference cannot be resolved.

    Tokens of a new cluster, and ports that an engine chooses, do not exist yet; placeholders take their place.
    """
    environment, host = environment, drivers.this_host if facts.network else None
    ports = {f"{name}.{port}": 1 for name, service in environment.services.items() for port in service.ports}
    wanted.resolve_for_host(environment, want.name, paths, ports, host)
    if CLUSTER in select(environment, [want.name]):
        return wanted.resolve_for_container(environment, want.name, paths, tokens=False, authority=False, host=host)
    return wanted.resolve_to_start(environment, want.name, paths, host)
