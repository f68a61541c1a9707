"""Carries out `run`: bring up what is missing, run the command under watch, judge a failure, take down."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.ci_job import Lease
from envkit.base.errors import EnvironmentFailed, EnvkitError, NotUp
from envkit.base.waiting import Cancel
from envkit.cli import supervising
from envkit.cli.context import Opened, opened, run_down, signals
from envkit.cli.diagnosis import HURRIED_SECONDS, Diagnosis, DiagnosisTarget
from envkit.cli.flags import Flags
from envkit.cli.reporting import show as show_error
from envkit.cli.run_gate import ENVIRONMENT_FAILED, INTERRUPTED, Gate
from envkit.cli.run_log import RunLog
from envkit.cli.run_reporter import RunReporter
from envkit.drivers.runtimes.process_table import Stamp
from envkit.inventory import state
from envkit.inventory.export import masked
from envkit.operations.measure import format_delta, measure
from envkit.operations.run import Cancelled, Row, child
from envkit.operations.uncached import uncached
from envkit.planning.differences import Difference, keep_data
from envkit.planning.facts import Instance
from envkit.watch import command_processes
from envkit.watch.client import Watcher
from envkit.watch.folder import RunFolder, new
from envkit.watch.timeline import Happening, now

if TYPE_CHECKING:
    from envkit.ci.job import Job
    from envkit.config.models import Environment
    from envkit.inventory.drivers import Drivers
    from envkit.operations.up import Outcome


@dataclass(frozen=True)
class RunOptions:
    """The options of one `run`."""

    flags: Flags
    argv: tuple[str, ...]
    keep: bool = False
    repeat: int = 1
    artifacts: Path | None = None
    replace: bool = False
    """Whether envkit is allowed to replace services that hold data."""
    job: Job | None = None
    """The CI job, or None outside CI."""
    lease: Lease = field(default_factory=Lease)


def run(wish: RunOptions) -> int:
    """Bring up the environment, run the command, take down, and return the exit code.

    Raises `EnvkitError` if the environment fails.
    """
    clear_orphan(wish.flags)
    folder = new(wish.flags.paths())
    face = reporter_of(wish)
    between = Cancel()  # takes signals while neither `up` nor the command handles them
    with signals(between):
        running = RunCommand(wish, folder, face, between)
        try:
            return running.go()
        finally:
            running.part()


def reporter_of(wish: RunOptions) -> RunReporter:
    """Return the reporter for the run. In a CI job it is a `CiRunReporter`."""
    if wish.job is None:
        return RunReporter(wish.flags.json)
    from envkit.cli.ci_run_reporter import CiRunReporter

    return CiRunReporter(wish.flags.json, wish.job)


def clear_orphan(flags: Flags) -> None:
    """Remove the environment of a run that was killed together with its supervisor. Nobody uses its data any more."""
    from envkit.watch.orphans import orphan_of

    run = orphan_of(flags.paths())
    if run:
        RunReporter(flags.json).note("the last run here was killed together with its watch; taking down what it left")
        run_down(flags)
        run.write_facts(ended=now(), killed=True)


@dataclass
class RunCommand:
    """The execution of one `run`. It is also the `Intent` of its `up`."""

    wish: RunOptions
    folder: RunFolder
    face: RunReporter
    between: Cancel
    cancelled: Cancelled = field(default_factory=Cancelled)
    rows: list[Row] = field(default_factory=list)
    seen: list[Happening] = field(default_factory=list)
    mine: bool = False
    _left: bool = False
    _opened: Opened | None = None
    _hasty: threading.Thread = field(default_factory=threading.Thread)

    def __post_init__(self) -> None:
        flags = self.wish.flags
        self._gate = Gate(self.cancelled, self.wish.repeat)
        self.log = RunLog(self.folder, self.face)
        said = DiagnosisTarget(self.folder.path, self.wish.artifacts, self.face, self.log.phase)
        self.blame = Diagnosis(said, self.cancelled, self.between)
        words = [secretless(word) for word in self.wish.argv]
        self.folder.write_facts(
            argv=words,
            began=now(),
            cwd=str(Path.cwd()),
            environment=flags.paths().name,
            repeat=self.wish.repeat,
            processes=[Stamp.of(os.getpid()).written()],
        )
        self.watcher = Watcher(
            supervising.__name__, self.folder, flags.paths().name, flags.told(), keep=self.wish.keep, heard=self._heard
        )  # fmt: skip
        both = [Stamp.of(pid).written() for pid in (os.getpid(), self.watcher.pid)]
        self.folder.write_facts(processes=both, keep=self.wish.keep)

    def go(self) -> int:
        """Bring up the environment, run the command, take down what this run brought up, and return the exit code."""
        code = 0
        try:
            with opened(self.wish.flags) as target:
                self._opened = target
                target.control.stream.sinks.append(self.face.events(self.folder.events))
                self.face.opened(target)
                with self.log.phase("up"), self.blame.judging(lambda: self._opened or target):
                    outcome = self._up(target)
                target.control.stream.quiet()
                self.between.check()
                placed = replace(target, environment=outcome.environment, drivers=outcome.drivers)
                code = self._commands(placed, outcome.record.variables)
        except EnvkitError as error:
            code = ENVIRONMENT_FAILED if isinstance(error, EnvironmentFailed | NotUp) else error.exit_code
            self.log.stamp("error", error.message, {"class": type(error).__name__, "exit_code": error.exit_code})
            raise
        finally:
            if self.mine:
                with self.log.phase("down"):
                    code = self._taken_down(code)
            self.folder.write_facts(ended=now(), code=code)
            self.log.close()
        return code

    # Up

    def begin(self, *, fresh: bool) -> None:
        """See `operations.up.Intent`."""
        self.watcher.begin(fresh=fresh)

    def placed(self, environment: Environment, drivers: Drivers) -> None:
        """See `operations.up.Intent`."""
        if self._opened:
            self._opened = replace(self._opened, environment=environment, drivers=drivers)

    def owned(self, *, owned: bool) -> None:
        """See `operations.up.Intent`."""
        self.watcher.owned(owned=owned)
        self.folder.write_facts(owned=owned)

    def failed(self, environment: Environment, drivers: Drivers, error: Exception) -> None:
        """See `operations.up.Intent`. This is the last moment at which the resources that `up` made exist."""
        if self._opened and isinstance(error, EnvkitError):
            self.blame.explain(replace(self._opened, environment=environment, drivers=drivers), error=error)

    def _up(self, target: Opened) -> Outcome:
        from envkit.operations.record import Provenance
        from envkit.operations.up import Options, up

        outcome = up(
            target.environment,
            target.paths,
            target.drivers,
            target.control,
            Provenance(target.asked, self.wish.lease.job, self.wish.lease.expires),
            target.placement,
            Options(keep=self.wish.keep, intent=self, consent=partial(self._consent, target)),
        )
        self.mine = outcome.from_nothing and not self.wish.keep
        self.folder.write_facts(lane=target.drivers.lane, engine=target.drivers.engine)
        self.face.ready(outcome.environment, outcome.record)
        return outcome

    def _consent(self, target: Opened, found: Sequence[Difference]) -> None:
        """Report the differences. Raises `ReplacementRefused` if data would be lost and `--replace` was not given."""
        for one in found:
            target.control.stream.note(f"differs from what is up: {one}")
        if not self.wish.replace:
            record = state.read(target.paths)
            keep_data(found, record.asked if record else {}, target.asked)

    # The command

    def _commands(self, target: Opened, variables: Mapping[str, str]) -> int:
        instances = {it.service: it for it in target.drivers.runtime.observe(target.environment.name)}
        self.watcher.watch(instances)
        code = 0
        self._hasty = threading.Thread(target=self.blame.on_cancel, args=(target,), daemon=True, name="on-cancel")
        self._hasty.start()
        try:
            for number in range(1, self.wish.repeat + 1):
                with self.blame.judging(lambda: target):
                    target.control.cancel.check()  # a signal can come while the last run is examined
                    self._prepare(target, number)
                    target.control.cancel.check()
                code = self._one(target, instances, variables, number)
                if self.rows[-1].result != "passed":
                    break
        finally:
            if self.wish.repeat > 1:
                self.face.table(self.rows, self.wish.repeat)
            self.folder.write_facts(runs=[row.facts() for row in self.rows])
            self.watcher.rest()
        return code

    def _prepare(self, target: Opened, number: int) -> None:
        from envkit.operations.reset import flush, reset

        with self.log.phase("reset"):
            for part in (
                reset(target.environment, target.paths, target.drivers, target.control, target.up_command)
                if number > 1
                else flush(target.environment, target.paths, target.drivers, target.control, target.up_command)
            ):
                target.control.stream.note(f"{part.name}: {part.said} ({part.seconds:.2f} s)")

    def _one(
        self, target: Opened, instances: Mapping[str, Instance], variables: Mapping[str, str], number: int
    ) -> int:  # fmt: skip
        """Run the command once, judge a failure, and return the exit code that `Gate.code` decides."""
        before = measure(target.environment, target.drivers, target.control.cancel, instances)
        self.log.sampled(before)
        seen = len(self.seen)
        marked = {**uncached(self.wish.flags.environ), **variables, command_processes.RUN: str(self.folder.path)}
        self.log.stamp("command", "begins", {"run": number})
        with self.face.phase("command"):
            ended = child(
                self.wish.argv, self.wish.flags.environ, marked, self.cancelled,
                lambda: command_processes.end_processes(self.folder.path, 0), target.control.cancel.check,
            )  # fmt: skip
        self.log.stamp("command", f"ended with {ended.code}", {"exit_code": ended.code, "run": number})
        self.folder.write_facts(code=ended.code)
        verdict = None
        if self.cancelled.signum:
            self._hasty.join(max(0.0, self.cancelled.since + HURRIED_SECONDS + 1.0 - time.monotonic()))
        elif self.cancelled.interrupted and ended.code == INTERRUPTED:
            self.blame.explain(target, signum=signal.SIGINT, seconds=HURRIED_SECONDS)
        else:
            self.watcher.settle(everything=ended.code != 0)
            after = measure(target.environment, target.drivers, target.control.cancel, instances)
            self.log.sampled(after)
            self.face.report(format_delta(before, after))
            verdict = self.blame.explain(target, code=ended.code) if ended.code else None
        self.rows.append(self._gate.row(number, ended, verdict, self.seen[seen:]))
        self.face.row(self.rows[-1])
        return self._gate.code(self.rows[-1], ended)

    # Down

    def _taken_down(self, code: int) -> int:
        """Take down what was brought up, and return the exit code. A failure of this changes only an exit code of 0."""
        try:
            run_down(self.wish.flags)
        except EnvkitError as error:
            show_error(error, self.wish.flags.debug, self.wish.flags.json)
            self._left = True
            return code or ENVIRONMENT_FAILED
        return code

    def part(self) -> None:
        """End the supervisor. If the environment could not be taken down, leave that to the supervisor."""
        if self._left:
            self.face.note("the watch of this run continues to take it down")
            self.watcher.leave()
        else:
            self.watcher.done()

    def _heard(self, happening: Happening) -> None:
        self.seen.append(happening)
        self.face.happening(happening)


def secretless(word: str) -> str:
    """Return a word of the command without secrets: in `--token=...`, in `NAME_KEY=...` and in URLs with passwords."""
    name, equals, value = word.partition("=")
    return f"{name}={masked(name, value)}" if equals else masked("", word)
