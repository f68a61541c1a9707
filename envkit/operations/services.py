"""`logs` and `restart`: print the logs of services, and restart services one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from envkit.base.control import Control
from envkit.base.errors import NotReady, ServiceDied
from envkit.base.paths import Paths
from envkit.config.models import Environment
from envkit.drivers.runtimes.base import FullRuntime
from envkit.inventory import state
from envkit.inventory.drivers import Drivers
from envkit.operations.locking import locked
from envkit.operations.ownership import ours
from envkit.operations.record import write_record
from envkit.operations.state_checks import check_not_paused, not_up
from envkit.planning import plan
from envkit.planning.facts import Instance


def instances(
    environment: Environment, runtime: FullRuntime, up_command: str, names: Sequence[str]
) -> dict[str, Instance]:
    """Return the instances of the named services, or all instances if no name is given.

    Raises `NotUp` if a named service does not exist, or if no service exists.
    """
    found = {instance.service: instance for instance in runtime.observe(environment.name)}
    plan.select(environment, names)
    missing = [name for name in names if name not in found]
    if missing or not found:
        raise not_up(environment.name, up_command, ", ".join(missing) if found else "")
    return {name: found[name] for name in (names or found)}


def logs(
    environment: Environment,
    runtime: FullRuntime,
    up_command: str,
    names: Sequence[str],
    tail: int | None,
    write: Callable[[str], None],
) -> None:
    """Call `write` for each line of the services' logs.

    If there are several services, each line begins with the name of its service.
    """
    found = instances(environment, runtime, up_command, names)
    for name, line in _lines(runtime, found, tail):
        write(f"{name} | {line}" if len(found) > 1 else line)


def rows(
    environment: Environment, runtime: FullRuntime, up_command: str, names: Sequence[str], tail: int | None
) -> Iterator[tuple[str, str]]:
    """Return an iterator over the lines of the services' logs, each as a pair: the service's name and the line."""
    return _lines(runtime, instances(environment, runtime, up_command, names), tail)


def _lines(runtime: FullRuntime, found: Mapping[str, Instance], tail: int | None) -> Iterator[tuple[str, str]]:
    for name, instance in found.items():
        for line in runtime.logs(instance, tail).splitlines():
            yield name, line


def restart(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    control: Control,
    up_command: str,
    names: Sequence[str],
) -> None:
    """Restart the services one after the other, and wait until each probe passes again. Data stays.

    Raises `ServiceDied` or `NotReady`.
    """
    prober = drivers.prober(control.cancel)
    with locked(paths, environment.timeout, control.stream, control.cancel):
        ours(environment, drivers)
        found = instances(environment, drivers.runtime, up_command, names)
        check_not_paused(environment.name, up_command, found.values())
        for name, instance in found.items():
            control.stream.note(f"restarting {name}")
            service = environment.services[name]
            again = drivers.runtime.restart(instance, service.stop_timeout)
            broken = prober.health(name, again, patience=service.timeout) if again.running else again.death()
            now = drivers.runtime.look(again)
            if not now.running:
                raise ServiceDied(f"{name} {now.death()}", detail=drivers.runtime.logs(again, 20))
            if broken:
                raise NotReady(broken, detail=drivers.runtime.logs(again, 20))
        _remember(environment, paths, drivers)


def _remember(environment: Environment, paths: Paths, drivers: Drivers) -> None:
    """Write the record again, because the engine can choose other ports at a restart."""
    record = state.read(paths)
    if record:
        found = {it.service: it for it in drivers.runtime.observe(environment.name)}
        write_record(environment, paths, drivers, found, record.done)
