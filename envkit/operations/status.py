"""`status`: show which services exist, their addresses, and whether they work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from envkit.base.abilities import able
from envkit.base.errors import EngineError
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.config.models import Environment
from envkit.drivers.clusters.base import RunsPods, kind_of
from envkit.drivers.runtimes.base import FullRuntime
from envkit.drivers.runtimes.usage import Usage
from envkit.drivers.supply.base import KnowsSources
from envkit.inventory import observe, state
from envkit.inventory.drivers import Drivers
from envkit.inventory.probing import chosen_ports
from envkit.planning import plan
from envkit.planning.facts import Facts, Instance
from envkit.planning.plan import CLUSTER

Measurable = TypeVar("Measurable")


@dataclass(frozen=True)
class Row:
    """One service (or the cluster) as `status` shows it."""

    name: str
    state: str
    health: str
    addresses: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    since: str = ""
    source: str = ""
    """The version and the origin of the service's program; an empty string for a container."""
    usage: Usage = field(default_factory=Usage)
    limit: int = 0
    """The service's memory limit in bytes; 0 means no limit."""
    share: float | None = None
    """The service's share of one processor since the previous status (`--watch`); None in the first status."""


@dataclass(frozen=True)
class Status:
    """The status of the environment and of each service."""

    name: str
    engine: str
    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    """Parts of the cluster that cannot run on this machine, each with the missing program and the consequence."""
    host: str = ""
    """The address at which services reach this host."""
    selected: frozenset[str] = frozenset()
    """The names of the services that the user requested from `up`; empty if the user requested everything."""
    port_offset: int = 0
    offset_chosen: bool = False
    """Whether envkit chose the port offset."""

    @property
    def asked(self) -> tuple[Row, ...]:
        """The rows of the requested services, and of everything else that exists."""
        if not self.selected:
            return self.rows
        return tuple(row for row in self.rows if row.name in self.selected or row.state != "absent")

    @property
    def up(self) -> bool:
        """Whether every requested service is ready or done."""
        return bool(self.asked) and all(row.health in ("ready", "done") for row in self.asked)

    @property
    def in_part(self) -> bool:
        """Whether only a part of the environment is up: the user requested some services only, and these work."""
        return self.up and len(self.asked) < len(self.rows)

    @property
    def standing(self) -> str:
        """The state of the environment as text: `up`, `up in part (1 of 5)`, `paused` or `not up`."""
        if self.in_part:
            return state.standing(len(self.asked), len(self.rows))
        return "up" if self.up else "paused" if self.paused else "not up"

    @property
    def paused(self) -> bool:
        """Whether a part of the environment is paused; `up` resumes it."""
        return any(row.state == "paused" for row in self.rows)

    @property
    def there(self) -> bool:
        """Whether any part of the environment exists."""
        return any(row.state != "absent" for row in self.rows)


def status(environment: Environment, paths: Paths, drivers: Drivers, cancel: Cancel) -> Status:
    """Return the status of every service and of the cluster. Changes nothing. Raises `Cancelled`."""
    selected = plan.select(environment, ())
    _, facts = observe.look(environment, paths, drivers, cancel, selected)
    absent = observe.left_out(environment, drivers, facts.instances)
    with cancel.cutting(), ThreadPoolExecutor(1, thread_name_prefix="cluster") as pool:  # Docker needs a second
        cluster = pool.submit(_cluster_row, drivers, facts) if CLUSTER in selected else None
        usages = _usages(drivers.runtime, facts)
    rows = [_row(environment, drivers, name, facts, usages) for name in environment.services if name not in absent]
    if cluster:
        rows.insert(0, cluster.result())
    rows += [Row(stray.name, stray.state, "not in the configuration") for stray in facts.strays]
    cancel.check()
    missing = tuple(f"{program} ({name}): {_without(environment, name)}" for name, program in absent.items())
    record = state.read(paths)
    return Status(
        environment.name, drivers.where, tuple(rows), missing, drivers.this_host().address,
        frozenset(record.selected if record else ()), environment.port_offset,
        bool(record and record.offset_chosen) or environment.offset_auto,
    )  # fmt: skip


def _without(environment: Environment, part: str) -> str:
    """Return what does not work without this part of the cluster, as text."""
    return (kind_of(environment.cluster.type).without or {}).get(part, "")


def looks(environment: Environment, paths: Paths, drivers: Drivers, cancel: Cancel, every: float) -> Iterator[Status]:
    """Yield a status every `every` seconds until cancelled, with the processor shares since the previous one.

    Raises `Cancelled`.
    """
    before: dict[str, tuple[float, Usage]] = {}
    while True:
        now, seen = time.monotonic(), status(environment, paths, drivers, cancel)
        rows = [replace(row, share=_share(row, now, before.get(row.name))) for row in seen.rows]
        before = {row.name: (now, row.usage) for row in rows}
        yield replace(seen, rows=tuple(rows))
        cancel.sleep(every)
        cancel.check()


def _share(row: Row, now: float, before: tuple[float, Usage] | None) -> float | None:
    """Return the share of one processor, or None if there is no previous value, or if the service was restarted.

    A processor time that is less than the previous value shows a restart.
    """
    if before is None or row.usage.cpu < before[1].cpu:
        return None
    return (row.usage.cpu - before[1].cpu) / max(0.001, now - before[0])


def _usages(runtime: FullRuntime, facts: Facts) -> dict[str, Usage]:
    """Return the usage of each service that runs or is paused; it is empty if it cannot be measured."""
    asked = {name: it for name, it in facts.instances.items() if it.state in ("running", "paused")}
    return dict(zip(asked, _measured(runtime.usage, asked.values()), strict=True))


def _measured(measure: Callable[[Measurable], Usage], things: Iterable[Measurable]) -> list[Usage]:
    def ask(thing: Measurable) -> Usage:
        try:
            return measure(thing)
        except EngineError:  # the service has ended, or this engine reports no usage
            return Usage()

    with ThreadPoolExecutor(8, thread_name_prefix="usage") as pool:
        return list(pool.map(ask, things))


def _cluster_row(drivers: Drivers, facts: Facts) -> Row:
    row = _cluster_state(facts)
    cluster = able(drivers.cluster, RunsPods)
    if facts.cluster.state not in ("running", "paused") or cluster is None:
        return row
    since = age(cluster.began()) if facts.cluster.state == "running" else ""
    return replace(row, usage=cluster.usage(), since=since)


def _cluster_state(facts: Facts) -> Row:
    fact = facts.cluster
    well = fact.state == "running" and bool(fact.fingerprint) and not fact.unready and not fact.missing
    wrong = fact.unready or (f"missing: {', '.join(fact.missing)}" if fact.missing else "") or "creation never finished"
    if fact.state == "absent":
        return Row(CLUSTER, "absent", "-")
    return Row(CLUSTER, fact.state, "ready" if well else wrong if fact.state == "running" else fact.state)


def _row(environment: Environment, drivers: Drivers, name: str, facts: Facts, usages: Mapping[str, Usage]) -> Row:
    service = environment.services[name]
    instance = facts.instances.get(name)
    if not service.runs:
        done = name in facts.done
        return Row(name, "done" if done else "absent", "done" if done else "-")
    if instance is None:
        return Row(name, "absent", "-")
    return Row(
        name,
        instance.state,
        _health(service.once, instance, facts.unready.get(name, "")),
        {
            key.partition(".")[2]: f"127.0.0.1:{port}"
            for key, port in chosen_ports(environment, {name: instance}).items()
        },
        instance.image,
        age(instance.started_at) if instance.running else "",
        _source(drivers, instance),
        usages.get(name, Usage()),
        instance.memory,
    )


def _source(drivers: Drivers, instance: Instance) -> str:
    """Return the origin of the program that runs now, or "" for a container. The next start can use another program."""
    if (sources := able(drivers.supply, KnowsSources)) is None:
        return ""
    same = drivers.supply.id_of(instance.image) in ("", instance.image_id)
    return (sources.source_of(instance.image) if same else "") or instance.image_id.strip()


def _health(once: bool, instance: Instance, unready: str) -> str:
    if once and instance.state == "exited" and instance.exit_code == 0:
        return "done"
    return (unready or "ready") if instance.running else instance.death()


def age(started_at: str) -> str:
    """Return the time since an engine's timestamp (RFC 3339 with nanoseconds) as text such as `3m`."""
    try:
        began = datetime.fromisoformat(started_at[:19]).replace(tzinfo=UTC)
    except ValueError:
        return ""
    seconds = max(0, int((datetime.now(UTC) - began).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
