"""Gathers the findings for the verdict within a few seconds, from the run's folder and from what runs now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from envkit.base.abilities import able
from envkit.base.errors import EngineError, EnvkitError
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel, until
from envkit.config.models import Environment
from envkit.drivers.runtimes.base import FullRuntime, WritesLogFiles
from envkit.drivers.stores import NoAnswer, store_of
from envkit.evidence import junit, log_patterns
from envkit.evidence.collectors.context import in_background
from envkit.evidence.collectors.host import disks, engine_places, places
from envkit.evidence.findings import NOT_IN_TIME, Findings, LogSign, ServiceFact
from envkit.evidence.redaction import Redactor
from envkit.inventory import state
from envkit.inventory.drivers import Drivers
from envkit.inventory.probing import Prober
from envkit.watch.folder import RunFolder
from envkit.watch.timeline import Happening, Sample, read

if TYPE_CHECKING:
    from envkit.planning.facts import Instance

T = TypeVar("T")

LOG_LINES = 500
"""Number of lines from the end of each service's log that are searched."""

PATIENCE = 2.0
"""Longest time in seconds until a service must pass its probe."""


SPARE = 0.3
"""The wait for late services ends this many seconds before the deadline, so that the others' answers still count."""

BRIEF = 0.5
"""Longest time in seconds until a service must pass its probe if an error already reports what is wrong."""


def examine(
    environment: Environment, paths: Paths, drivers: Drivers, run_folder: Path | None, *, seconds: float = 6.0,
    error: EnvkitError | None = None, code: int | None = None, signum: int = 0,
) -> Findings:  # fmt: skip
    """Return the findings from the run's folder, from a probe of every service, and from the tests' reports.

    This function raises no error; it leaves out what it cannot read. If neither `code` nor `error` is given, the exit
    code comes from the run's folder.
    """
    drivers = drivers.undisturbed()
    cancel, caller = Cancel(), drivers.caller
    prober = drivers.prober(cancel)
    run = RunFolder(run_folder) if run_folder else None
    facts = run.read_facts() if run else {}
    argv, began = tuple(str(word) for word in facts.get("argv") or ()), float(facts.get("began") or 0.0)
    folder = Path(str(facts.get("cwd") or Path.cwd()))
    redact = BackgroundQuery(lambda: _redactor(environment, paths, caller.environ))
    deadline = time.monotonic() + seconds
    there = BackgroundQuery(lambda: {one.service: one for one in drivers.runtime.observe(environment.name)})
    patience = min(PATIENCE, seconds / 3) if error is None else BRIEF
    services = BackgroundQuery(
        lambda: _services(
            environment, paths, drivers.runtime, prober, there.within(deadline, {}), patience, deadline - SPARE
        )
    )
    cluster = BackgroundQuery(lambda: _cluster(environment, paths, cancel))
    redis = BackgroundQuery(lambda: _redis(environment, drivers.runtime, prober, run))
    disk = BackgroundQuery(lambda: disks(places(paths, caller)))
    logs = BackgroundQuery(lambda: tuple(_signs(environment, drivers.runtime, run)))
    engines_disk = BackgroundQuery(lambda: disks(engine_places(drivers)))
    tests = BackgroundQuery(lambda: junit.reports(argv, folder, began) if began else None)
    found = Findings(
        code=facts.get("code") if code is None and error is None else code,
        argv=argv, signum=signum, began=began, error=error,
        happenings=tuple(read(run.timeline, Happening)) if run else (),
        services=services.within(deadline, None),
        engine=_engine(drivers, there),
        cluster=cluster.within(deadline, ""),
        disks=tuple({it.path: it for it in disk.within(deadline, []) + engines_disk.within(deadline, [])}.values()),
        redis=redis.within(deadline, {}),
        logs=logs.within(deadline, ()),
        tests=tests.within(deadline, None),
        ports=_ports(environment, paths),
    )  # fmt: skip
    return _redacted(found, redact.within(deadline + seconds, Redactor()))


class BackgroundQuery(Generic[T]):
    """Runs a function in a thread. An exception is kept in `error` and counts as no answer."""

    def __init__(self, question: Callable[[], T]) -> None:
        self.error: Exception | None = None
        self._answers: list[T] = []
        self._question = question
        self._thread = in_background(self._ask)

    def _ask(self) -> None:
        try:
            self._answers.append(self._question())
        except Exception as error:  # noqa: BLE001  the environment can be broken in any way
            self.error = error

    def within(self, deadline: float, otherwise: T) -> T:
        """Return the answer if it comes before `deadline` (monotonic clock), else `otherwise`."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return next(iter(self._answers), otherwise)

    @property
    def late(self) -> bool:
        """Return whether the function still runs."""
        return self._thread.is_alive()


def _engine(drivers: Drivers, there: BackgroundQuery[dict[str, Instance]]) -> str:
    """Return why the engine does not answer, or an empty string if it answers."""
    if isinstance(there.error, EngineError):
        return there.error.message
    return NOT_IN_TIME if drivers.engine and there.late else ""


def _services(
    environment: Environment,
    paths: Paths,
    runtime: FullRuntime,
    prober: Prober,
    found: Mapping[str, Instance],
    patience: float,
    deadline: float,
) -> tuple[ServiceFact, ...] | None:
    """Return a fact for each service that should run, or None if nothing of the environment exists."""
    if not found and state.read(paths) is None:
        return None
    remembered = {port.partition(".")[0] for port in _ports(environment, paths).values()}
    wanted = [name for name, service in environment.services.items() if service.runs and not service.once]
    asked = {
        name: BackgroundQuery(partial(_fact, runtime, prober, name, found[name], patience))
        for name in wanted
        if name in found
    }
    gone = [ServiceFact(name, "is gone", absent=True) for name in wanted if name not in found and name in remembered]
    return (*(it.within(deadline, ServiceFact(name, "no answer in time")) for name, it in asked.items()), *gone)


def _fact(runtime: FullRuntime, prober: Prober, name: str, instance: Instance, patience: float) -> ServiceFact:
    if instance.state == "paused" or _stopped(runtime, instance):
        return ServiceFact(name, "is paused", paused=True)
    if not instance.running:
        return ServiceFact(name, instance.death(), instance.exit_code, instance.oom_killed)
    return ServiceFact(name, prober.health(name, instance, patience=patience).removeprefix(f"{name}: "))


def _stopped(runtime: FullRuntime, instance: Instance) -> bool:
    """Return whether a process of the service was stopped (SIGSTOP). An engine calls this state paused."""
    logging = able(runtime, WritesLogFiles)
    return bool(logging and instance.running and logging.is_stopped(instance))


def _cluster(environment: Environment, paths: Paths, cancel: Cancel) -> str:
    """Return what is wrong with the API server, or an empty string if it works or there is none."""
    from envkit.drivers.clusters.api import Api

    kubeconfig = paths.kubeconfig
    if not environment.cluster.wanted or not kubeconfig.exists():
        return ""
    try:
        until(Api.of(kubeconfig).readyz, what="the API server", seconds=PATIENCE, cancel=cancel)
    except EnvkitError as error:
        return error.message
    return ""


def _redis(
    environment: Environment, runtime: FullRuntime, prober: Prober, run: RunFolder | None
) -> dict[str, dict[str, float | str]]:
    """Return the newest values of each Redis. `evicted` keys and `refused` writes are counted during the run only."""
    found: dict[str, dict[str, float | str]] = {}
    first: dict[str, Mapping[str, float | str]] = {}
    for sample in read(run.samples, Sample) if run else ():
        if "used_memory" in sample.values:
            first.setdefault(sample.service, sample.values)
            found[sample.service] = dict(sample.values)
    for name, now in _redis_now(environment, runtime, prober):
        first.setdefault(name, now)
        found[name] = {**found.get(name, {}), **now}
    for name, last in found.items():
        before, after = first[name].get("evicted_keys", 0), last.get("evicted_keys", 0)
        last["evicted"] = max(0.0, float(after) - float(before)) if run else 0.0
        before, after = first[name].get("refused_writes", 0), last.get("refused_writes", 0)
        last["refused"] = max(0.0, float(after) - float(before)) if run else 0.0
    return found


def _redis_now(
    environment: Environment, runtime: FullRuntime, prober: Prober
) -> Iterator[tuple[str, dict[str, float | str]]]:
    """Yield the current values of each running store that can limit its memory."""
    for one in runtime.observe(environment.name):
        service = environment.services.get(one.service)
        store = store_of(service.probe) if service else None
        if store is None or not store.limits_memory or not one.running:
            continue
        with suppress(NoAnswer, KeyError, EnvkitError):
            seen = prober.resolved(one.service, {one.service: one})
            address = partial(prober.address, seen, one)
            with closing(store.sampler(seen.probe, address)) as ask:
                yield one.service, dict(ask())


def _signs(environment: Environment, runtime: FullRuntime, run: RunFolder | None) -> Iterator[LogSign]:
    """Yield log lines that show a fault of the machine: from the run's logs, or else from the services' last lines."""
    began = float((run.read_facts() if run else {}).get("began") or 0.0)
    for service, lines in _logs(environment, runtime, run):
        for kind, line in log_patterns.decisive(line for line in lines if not log_patterns.before(line, began)):
            yield LogSign(service, kind, line)


def _logs(environment: Environment, runtime: FullRuntime, run: RunFolder | None) -> Iterator[tuple[str, Iterable[str]]]:
    paths = sorted(run.logs.glob("*.log")) if run else []
    for path in paths:
        yield path.stem, path.read_text(errors="replace").splitlines()
    for one in runtime.observe(environment.name) if not paths else ():
        yield one.service, runtime.logs(one, LOG_LINES).splitlines()


def _ports(environment: Environment, paths: Paths) -> dict[int, str]:
    """Return the environment's host ports, each with the name of what listens there. Chosen ports are included."""
    record = state.read(paths)
    ports = {port: name for name, port in record.ports.items()} if record else {}
    return {**environment.host_ports(), **ports}


def _redactor(environment: Environment, paths: Paths, environ: Mapping[str, str]) -> Redactor:
    from envkit.evidence.secrets import redactor

    return redactor(environment, paths, environ)


def _redacted(found: Findings, redact: Redactor) -> Findings:
    """Return the findings with secrets removed from all text that a verdict can quote."""
    tests = found.tests
    if tests:
        tests = replace(tests, failed=tuple(replace(it, message=redact(it.message)) for it in tests.failed))
    return replace(
        found,
        tests=tests,
        argv=tuple(redact(word) for word in found.argv),
        happenings=tuple(replace(it, message=redact(it.message), detail=_clean(it, redact)) for it in found.happenings),
        services=found.services and tuple(replace(it, wrong=redact(it.wrong)) for it in found.services),
        logs=tuple(replace(it, line=redact(it.line)) for it in found.logs),
        engine=redact(found.engine),
        cluster=redact(found.cluster),
    )


def _clean(one: Happening, redact: Redactor) -> dict[str, str | int | float | bool | None]:
    return {key: redact(value) if isinstance(value, str) else value for key, value in one.detail.items()}
