"""`logs` and `restart`: one service at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from envkit.base.errors import NotReady, ServiceDied
from envkit.inventory import observe, state
from envkit.inventory.session import Session
from envkit.operations.holder import ours
from envkit.operations.locking import locked
from envkit.operations.record import write_record
from envkit.operations.standing import check_not_paused, not_up
from envkit.planning import plan
from envkit.planning.facts import Instance


def instances(session: Session, names: Sequence[str]) -> dict[str, Instance]:
    """The named services' containers, all of them when none is named. Raises `NotUp` when one is not there."""
    found = {instance.service: instance for instance in session.runtime.observe(session.environment.name)}
    plan.select(session.environment, names)
    missing = [name for name in names if name not in found]
    if missing or not found:
        raise not_up(session.environment.name, session.up_command, ", ".join(missing) if found else "")
    return {name: found[name] for name in (names or found)}


def logs(session: Session, names: Sequence[str], tail: int | None, write: Callable[[str], None]) -> None:
    """Write the services' logs, each line headed by its service's name when there are several."""
    found = instances(session, names)
    for name, line in _lines(session, found, tail):
        write(f"{name} | {line}" if len(found) > 1 else line)


def rows(session: Session, names: Sequence[str], tail: int | None) -> Iterator[tuple[str, str]]:
    """Each line of the services' logs, with the service's name."""
    return _lines(session, instances(session, names), tail)


def _lines(session: Session, found: Mapping[str, Instance], tail: int | None) -> Iterator[tuple[str, str]]:
    for name, instance in found.items():
        for line in session.runtime.logs(instance, tail).splitlines():
            yield name, line


def restart(session: Session, names: Sequence[str]) -> None:
    """Restart processes, data kept, and wait until their probes pass again."""
    with locked(session.paths, session.environment.timeout, session.stream, session.cancel):
        ours(session)
        found = instances(session, names)
        check_not_paused(session.environment.name, session.up_command, found.values())
        for name, instance in found.items():
            session.stream.note(f"restarting {name}")
            service = session.environment.services[name]
            again = session.runtime.restart(instance, service.stop_timeout)
            broken = observe.health(session, name, again, patience=service.timeout) if again.running else again.death()
            now = session.runtime.look(again)
            if not now.running:
                raise ServiceDied(f"{name} {now.death()}", detail=session.runtime.logs(again, 20))
            if broken:
                raise NotReady(broken, detail=session.runtime.logs(again, 20))
        _remember(session)


def _remember(session: Session) -> None:
    """Ports that an engine chose may have changed."""
    record = state.read(session.paths)
    if record:
        found = {it.service: it for it in session.runtime.observe(session.environment.name)}
        write_record(session, found, record.done)
