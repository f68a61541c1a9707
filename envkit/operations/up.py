"""`up` and `plan`: from wanted to proved, or back to where it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from envkit.base.errors import EnvironmentFailed, EnvkitError, HolderError
from envkit.base.events import Kind
from envkit.base.ports import accepts, port_taken
from envkit.drivers.runtimes.base import Renewing
from envkit.inventory import observe, state, timings
from envkit.inventory.session import Session
from envkit.operations.effects import Effects, preparing
from envkit.operations.holder import check_holder
from envkit.operations.locking import locked
from envkit.operations.placing import PortsLost, at_an_offset, losing_ports, lost_port
from envkit.operations.record import write_record
from envkit.operations.remove import forget_files, undo
from envkit.operations.tokens import carry, renewed
from envkit.planning import apply, plan
from envkit.planning.differences import Difference, differences
from envkit.planning.facts import Facts, Instance
from envkit.planning.plan import CLUSTER, Desired, Plan

SETTLED = 0.3
"""Seconds that a service without a probe must have run to be believed: what cannot work mostly ends at once."""


@dataclass(frozen=True)
class Outcome:
    """What an `up` did: the plan, seconds by step, the variables, and whether nothing of it was there before."""

    plan: Plan
    times: Mapping[str, float]
    record: state.Record
    from_nothing: bool


def make_plan(session: Session, services: Sequence[str] = (), rebuild: bool = False) -> tuple[Plan, Desired, Facts]:
    """What `up` would do. Changes nothing."""
    session.backend.check()
    selected = plan.select(session.environment, services)
    desired, facts = observe.look(session, selected, rebuild)
    _check_holder(session, facts)
    return plan.make(desired, facts), desired, facts


Consent = Callable[[Sequence[Difference]], None]
"""Told how what is up differs from what is wanted. Raises `ReplacementRefused` to leave it as it is."""


class Intent(Protocol):
    """Told what an `up` is about to do, before it does it: whoever cleans up after a SIGKILL must know."""

    def begin(self, *, fresh: bool) -> None:
        """The lock is held; `fresh`: no file of this environment is there."""

    def owned(self, *, owned: bool) -> None:
        """The plan is made; `owned`: nothing of the environment was there before."""

    def failed(self, error: Exception) -> None:
        """What this `up` made is still there, and is about to be taken back."""


def up(
    session: Session, services: Sequence[str] = (), *, rebuild: bool = False, keep: bool = False,
    intent: Intent | None = None, consent: Consent | None = None,
) -> Outcome:  # fmt: skip
    """Bring the environment (or a part, with what it needs) up; a second run keeps what is right.

    When it fails, evidence is gathered first, then what this run made is taken down again, unless `keep`.
    Where something is up already, `consent` gets the differences before anything is done; it may raise.
    """
    with locked(session.paths, session.environment.timeout, session.stream, session.cancel):
        fresh = not session.paths.folder.exists()
        if intent:
            intent.begin(fresh=fresh)
        try:
            return at_an_offset(session, lambda: _up(session, services, rebuild, keep, intent, consent))
        except BaseException:
            if fresh and not keep:
                forget_files(session)
            raise


def _up(
    session: Session, services: Sequence[str], rebuild: bool, keep: bool, intent: Intent | None, consent: Consent | None
) -> Outcome:  # fmt: skip
    steps, desired, facts = make_plan(session, services, rebuild)
    for step in steps.steps:
        session.stream.emit(Kind.PLANNED, step.id, f"after {', '.join(step.needs)}" if step.needs else "")
    from_nothing = not facts.instances and facts.cluster.state == "absent" and not facts.network
    if consent and not from_nothing:
        consent(differences(steps, desired, facts))
    with losing_ports(session, from_nothing=from_nothing):
        preparing.at_once(session, steps, desired, facts)
    if intent:
        intent.owned(owned=from_nothing)
    session.paths.make()
    if steps.changes:
        state.begin(session.paths, state.Begun(session.claim.owner, session.engine, session.engine_url))
    effects = Effects(session, desired, facts, steps)
    try:
        with timings.recorded(session, steps):
            times = apply.run(steps, effects, session.stream, session.cancel)
            _still_there(session, effects, steps)
            record = _with_tokens(session, effects, fresh=from_nothing)
    except Exception as error:  # whatever it was: what this run made must not stay
        if from_nothing and (lost := lost_port(session, error)) and not undo(session, effects):
            raise PortsLost(lost) from error
        _back(session, effects, keep, error, intent)
        raise
    return Outcome(steps, times, record, from_nothing)


def _with_tokens(session: Session, effects: Effects, *, fresh: bool) -> state.Record:
    """The record, tokens renewed; those that the bootstrap made anew reach the services that were kept."""

    def runtime() -> AbstractContextManager[Renewing]:
        return nullcontext(session.runtime)

    chosen, wants = effects.desired.selected, effects.wants
    record = write_record(session, effects.instances, effects.done, chosen, fresh=fresh, wants=wants)
    if effects.bootstrapped:
        made = {one.identity: (session.paths.tokens / one.identity).read_text() for one in record.tokens}
        carry(record, session.paths, runtime, made, but=effects.made)
    return renewed(record, session.paths, runtime)


def _check_holder(session: Session, facts: Facts) -> None:
    """One holder per machine and name: whoever else asks gets told who that is."""
    environment = session.environment
    check_holder(session, [*facts.instances.values(), *facts.strays], facts.network_owner)
    record = state.read(session.paths)
    if record and record.engine != session.engine and any(accepts(port) for port in record.ports.values()):
        there, here = (engine or "plain processes" for engine in (record.engine, session.engine))
        raise HolderError(
            f"environment {environment.name} is up on {there}, and this asks for {here}",
            hint=f"run `down` first, or stay on {there}",
        )
    unseen = record and facts.network is False and record.engine_url != session.engine_url
    if record and unseen and not (verdict := session.claim.on(record.held_by)).ours:
        raise HolderError(
            f"environment {environment.name} of this machine {verdict.reason}", hint="run `down` there first"
        )


def _still_there(session: Session, effects: Effects, steps: Plan) -> None:
    """A service that was ready may have died while others came up: look once more before saying that all is well."""
    if not steps.changes:
        return
    _let_settle(session, effects)
    services, selected = session.environment.services, effects.desired.selected
    asked = [it for name, it in effects.instances.items() if name in selected and not services[name].once]
    with ThreadPoolExecutor(8, thread_name_prefix="again") as pool:
        for trouble in pool.map(lambda it: _trouble(session, it), asked):
            if trouble:
                raise trouble
    if taken := session.runtime.strangers(asked):
        raise port_taken({holder.port: name for name, holder in taken.items()}, list(taken.values()))


def _trouble(session: Session, instance: Instance) -> EnvironmentFailed | None:
    now = session.runtime.look(instance)
    broken = now.death() if not now.running else observe.health(session, now.service, now)
    if not broken:
        return None
    return EnvironmentFailed(
        f"{now.service} was ready, but {broken}",
        hint="its last lines above usually say why; `up --keep` leaves it to look at",
        detail=session.runtime.logs(now, tail=20),
    )


def _let_settle(session: Session, effects: Effects) -> None:
    """A process is started in no time, and without a probe nobody has asked it anything."""
    services = session.environment.services
    unasked = [it for name, it in effects.made.items() if not services[name].probe and not services[name].once]
    ages = [time.time() - it.began() for it in unasked if it.started_at]
    session.cancel.sleep(min(SETTLED, max(0.0, SETTLED - min(ages, default=SETTLED))))


def _evidence(session: Session, error: BaseException) -> Path | None:
    from envkit.operations.gather import of_failed_up  # as much to import as the rest of an `up` with nothing to do

    gathered = of_failed_up(session, error)
    return gathered.path if gathered else None


def _back(session: Session, effects: Effects, keep: bool, error: Exception, intent: Intent | None) -> None:
    """Evidence first, then away with what this run made; trouble on the way is told, never hidden."""
    if intent:
        intent.failed(error)
    elif folder := _evidence(session, error):
        session.stream.note(f"evidence in {folder}")
    if keep:
        session.stream.note("left as it is (--keep); `down` takes it away")
        return
    if effects.started or effects.made_cluster or effects.made_network:
        session.stream.note("taking down what this run made")
    problems = undo(session, effects)
    for problem in problems:
        session.stream.note(f"while taking down: {problem}")
    if problems and isinstance(error, EnvkitError):
        there = sorted({*effects.made, *([CLUSTER] if effects.made_cluster else [])}) or ["its network"]
        error.message += f"\nwhat this run made could not be taken down, and may still be there: {', '.join(there)}"
    with suppress(OSError):  # of an environment without a network nothing else is left; a record keeps the folder
        session.paths.folder.rmdir()
