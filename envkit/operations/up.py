"""`up` and `plan`: make a plan, carry it out, check that every service works, and undo the plan after a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from envkit.base.control import Control
from envkit.base.errors import EnvironmentFailed, HolderError
from envkit.base.events import Kind
from envkit.base.paths import Paths
from envkit.base.ports import accepts, port_taken
from envkit.base.waiting import Cancel
from envkit.config.models import Environment
from envkit.drivers.runtimes.base import Renewing
from envkit.inventory import observe, state, timings
from envkit.inventory.drivers import Drivers
from envkit.operations.effects import Effects, preparing
from envkit.operations.locking import locked
from envkit.operations.ownership import check_holder
from envkit.operations.port_placement import Placement, PortsLost, lost_port, ports_lost_as_error, with_port_offset
from envkit.operations.record import Provenance, write_record
from envkit.operations.rollback import forget_files, rollback, undo
from envkit.operations.tokens import renew_tokens, rewrite_files
from envkit.planning import apply, plan
from envkit.planning.differences import Difference, differences
from envkit.planning.facts import Facts, Instance
from envkit.planning.plan import Desired, Plan

SETTLED = 0.3
"""Seconds that a service without a probe must run before envkit reports success. Most broken services end at once."""


@dataclass(frozen=True)
class Outcome:
    """The result of an `up`: the plan, the seconds of each step, the record, the environment and its drivers.

    `from_nothing` means that nothing of the environment existed before. `environment` and `drivers` have the port
    offset at which the environment is up.
    """

    plan: Plan
    times: Mapping[str, float]
    record: state.Record
    from_nothing: bool
    environment: Environment
    drivers: Drivers


def make_plan(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    cancel: Cancel,
    services: Sequence[str] = (),
    rebuild: bool = False,
) -> tuple[Plan, Desired, Facts]:
    """Return the plan of an `up`, with the desired state and the facts from which it is made. Changes nothing."""
    drivers.backend.check()
    selected = plan.select(environment, services)
    desired, facts = observe.look(environment, paths, drivers, cancel, selected, rebuild)
    _check_holder(environment, paths, drivers, facts)
    return plan.make(desired, facts), desired, facts


Consent = Callable[[Sequence[Difference]], None]
"""A function that gets the differences between the environment and its configuration before any change.

It raises `ReplacementRefused` to prevent the change.
"""


class Intent(Protocol):
    """Receives a call before each stage of an `up`, so that the supervisor can clean up after a SIGKILL."""

    def begin(self, *, fresh: bool) -> None:
        """Record that `up` holds the lock. `fresh` means that no file of this environment exists."""

    def placed(self, environment: Environment, drivers: Drivers) -> None:
        """Record that the port offset is chosen. `environment` and `drivers` have this offset."""

    def owned(self, *, owned: bool) -> None:
        """Record that the plan is made. `owned` means that nothing of the environment existed before."""

    def failed(self, environment: Environment, drivers: Drivers, error: Exception) -> None:
        """Record the error of a failed `up`. What the `up` made still exists, and is removed after this call."""


@dataclass(frozen=True)
class Options:
    """The options of an `up`. It brings up `services` and what they need, or everything if `services` is empty."""

    services: Sequence[str] = ()
    rebuild: bool = False
    """Whether to build again the images of services that have a `build`."""
    keep: bool = False
    """Whether a failed `up` keeps what it made."""
    intent: Intent | None = None
    consent: Consent | None = None
    """A function that is called with the differences if a part of the environment exists already."""


def up(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    control: Control,
    provenance: Provenance,
    placement: Placement,
    options: Options,
) -> Outcome:
    """Bring up the environment, or the named services and what they need. Parts that are unchanged and work stay.

    After a failure this function collects evidence. Then it removes what it made, unless `options.keep` is true.
    """
    with locked(paths, environment.timeout, control.stream, control.cancel):
        fresh = not paths.folder.exists()
        if options.intent:
            options.intent.begin(fresh=fresh)
        try:
            return with_port_offset(
                environment,
                paths,
                control,
                placement,
                lambda placed: _up(placed, paths, drivers.at(placed), control, provenance, options),
            )
        except BaseException:
            if fresh and not options.keep:
                forget_files(environment, paths, drivers)
            raise


def _up(
    environment: Environment, paths: Paths, drivers: Drivers, control: Control, provenance: Provenance, options: Options
) -> Outcome:
    if options.intent:
        options.intent.placed(environment, drivers)
    steps, desired, facts = make_plan(environment, paths, drivers, control.cancel, options.services, options.rebuild)
    for step in steps.steps:
        control.stream.emit(Kind.PLANNED, step.id, f"after {', '.join(step.needs)}" if step.needs else "")
    from_nothing = not facts.instances and facts.cluster.state == "absent" and not facts.network
    if options.consent and not from_nothing:
        options.consent(differences(steps, desired, facts))
    with ports_lost_as_error(environment, from_nothing=from_nothing):
        preparing.at_once(environment, drivers, steps, desired, facts)
    if options.intent:
        options.intent.owned(owned=from_nothing)
    paths.make()
    if steps.changes:
        state.begin(paths, state.Begun(drivers.claim.owner, drivers.engine, drivers.engine_url))
    effects = Effects(environment, paths, drivers, control, provenance, desired, facts, steps)
    try:
        with timings.recorded(environment, paths, drivers.where, control.stream, steps):
            times = apply.run(steps, effects, control.stream, control.cancel)
            _recheck(effects)
            record = _with_tokens(effects, fresh=from_nothing)
    except Exception as error:  # after any error, remove what this run made
        if from_nothing and (lost := lost_port(environment, error)) and not undo(effects):
            raise PortsLost(lost) from error
        rollback(effects, options.keep, error, options.intent.failed if options.intent else None)
        raise
    return Outcome(steps, times, record, from_nothing, environment, drivers)


def _with_tokens(effects: Effects, *, fresh: bool) -> state.Record:
    """Write the record, renew tokens, and return the record.

    If the bootstrap made new tokens, this function first writes them into the files of services that were kept.
    """
    paths, drivers = effects.paths, effects.drivers

    def runtime() -> AbstractContextManager[Renewing]:
        return nullcontext(drivers.runtime)

    record = write_record(
        effects.environment,
        paths,
        drivers,
        effects.instances,
        effects.done,
        effects.desired.selected,
        effects.provenance,
        fresh=fresh,
        wants=effects.wants,
    )
    if effects.bootstrapped:
        made = {one.identity: (paths.tokens / one.identity).read_text() for one in record.tokens}
        rewrite_files(record, paths, runtime, made, but=effects.made)
    return renew_tokens(record, paths, runtime)


def _check_holder(environment: Environment, paths: Paths, drivers: Drivers, facts: Facts) -> None:
    """Raise `HolderError` if the environment of this name belongs to another owner, or is up on another engine."""
    check_holder(environment, drivers, [*facts.instances.values(), *facts.strays], facts.network_owner)
    record = state.read(paths)
    if record and record.engine != drivers.engine and any(accepts(port) for port in record.ports.values()):
        there, here = (engine or "plain processes" for engine in (record.engine, drivers.engine))
        raise HolderError(
            f"environment {environment.name} is up on {there}, and this asks for {here}",
            hint=f"run `down` first, or stay on {there}",
        )
    unseen = record and facts.network is False and record.engine_url != drivers.engine_url
    if record and unseen and not (verdict := drivers.claim.on(record.held_by)).ours:
        raise HolderError(
            f"environment {environment.name} of this machine {verdict.reason}", hint="run `down` there first"
        )


def _recheck(effects: Effects) -> None:
    """Raise an error if a service that was ready does not work any more: it can end while other services start."""
    if not effects.steps.changes:
        return
    _let_settle(effects)
    runtime, services, selected = effects.drivers.runtime, effects.environment.services, effects.desired.selected
    asked = [it for name, it in effects.instances.items() if name in selected and not services[name].once]
    with ThreadPoolExecutor(8, thread_name_prefix="again") as pool:
        for trouble in pool.map(lambda it: _trouble(effects, it), asked):
            if trouble:
                raise trouble
    if taken := runtime.strangers(asked):
        raise port_taken({holder.port: name for name, holder in taken.items()}, list(taken.values()))


def _trouble(effects: Effects, instance: Instance) -> EnvironmentFailed | None:
    runtime = effects.drivers.runtime
    now = runtime.look(instance)
    broken = now.death() if not now.running else effects.prober.health(now.service, now)
    if not broken:
        return None
    return EnvironmentFailed(
        f"{now.service} was ready, but {broken}",
        hint="its last lines above usually show why; `up --keep` keeps it for inspection",
        detail=runtime.logs(now, tail=20),
    )


def _let_settle(effects: Effects) -> None:
    """Wait until each service without a probe has run for `SETTLED` seconds, because nothing else checks it."""
    services = effects.environment.services
    unasked = [it for name, it in effects.made.items() if not services[name].probe and not services[name].once]
    ages = [time.time() - it.began() for it in unasked if it.started_at]
    effects.control.cancel.sleep(min(SETTLED, max(0.0, SETTLED - min(ages, default=SETTLED))))
