"""Report one `up` or `run` in a CI job, while the command works and when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.control import Control
from envkit.base.errors import EnvironmentFailed, EnvkitError
from envkit.base.paths import Paths
from envkit.ci import junit, summary
from envkit.ci.annotations import of_error, of_run
from envkit.ci.gitlab import dotenv
from envkit.ci.job_report import JobReport, Trouble
from envkit.ci.platform import JobResult, Platform
from envkit.inventory.export import masked
from envkit.inventory.timings import Recorder

if TYPE_CHECKING:
    from envkit.config.models import Environment
    from envkit.evidence import Verdict
    from envkit.inventory.drivers import Drivers
    from envkit.inventory.state import Record
    from envkit.operations.run import Row


@dataclass(frozen=True)
class Wanted:
    """The paths of the evidence, the JUnit report and GitLab's dotenv report; None for a report that is not written."""

    artifacts: Path | None = None
    junit: Path | None = None
    dotenv: Path | None = None


@dataclass
class Job:
    """Collects the result of one command and reports it to the CI service.

    A `Job` is also the `Intent` of its `up` (see `operations.up`), so it gathers evidence of a failure before the
    rollback. `show` shows an error, `note` prints a line, and `gather` collects evidence of an error that happened
    before any resource was created.
    """

    platform: Platform
    verb: str
    name: str
    wanted: Wanted
    show: Callable[[EnvkitError], None]
    note: Callable[[str], None]
    gather: Callable[[EnvironmentFailed], None]
    steps: Recorder = field(default_factory=Recorder)
    rows: list[Row] = field(default_factory=list)
    verdict: Verdict | None = None
    evidence: str = ""
    _began: float = field(default_factory=time.time)
    _variables: Mapping[str, str] = field(default_factory=dict)
    _place: tuple[Environment, Paths, Drivers, Control] | None = None
    _masked: set[str] = field(default_factory=set)
    _redact: Callable[[str], str] = str

    @contextmanager
    def working(self, title: str = "") -> Iterator[None]:
        """Return a context for the command, with a group if `title` is given.

        The context writes the reports after success and after an `EnvkitError`.
        """
        try:
            with self.platform.group(title) if title else nullcontext():
                yield
        except EnvkitError as error:
            self._failed(error)
            raise
        self._leave(None)

    def group(self, title: str, *, folded: bool = True) -> AbstractContextManager[None]:
        """Return a context that groups its part of the log under `title`."""
        return self.platform.group(title, folded=folded)

    # While the command works

    def opened(self, environment: Environment, paths: Paths, drivers: Drivers, control: Control) -> None:
        """Store the environment after the configuration is loaded and the lane is chosen, and mask its secrets."""
        self._place = environment, paths, drivers, control
        control.stream.sinks.append(self.steps)
        self.learn(environment)

    def ready(self, environment: Environment, record: Record) -> None:
        """Pass the variables of the environment, which is up now, to later steps; mask its secrets first."""
        self.learn(environment)
        if self.verb == "up":
            self._variables = record.variables
            self._write(lambda: [*self._bare(), *self.platform.leave(JobResult(variables=record.variables))])

    def learn(self, environment: Environment | None = None) -> None:
        """Mask the secrets that are new since the last call.

        Call it several times, because secrets appear while the environment starts and `down` removes their files.
        """
        from envkit.evidence.secrets import redactor, telling

        assert self._place is not None
        known, paths, drivers, control = self._place
        environment = environment or known
        self._place = environment, paths, drivers, control
        fresh = [one for one in telling(environment, paths) if one not in self._masked]
        self.platform.mask(fresh)
        self._masked.update(fresh)
        self._redact = redactor(environment, paths, drivers.caller.environ)

    def _bare(self) -> list[str]:
        """Return one line for each variable with a secret that is not masked.

        Such a secret is a common word: a mask for each `test` would make the log unreadable.
        """
        holding = {name: value for name, value in self._variables.items() if masked(name, value) != value}
        bare = [name for name, value in sorted(holding.items()) if not any(one in value for one in self._masked)]
        return [f"the secret in {name} is a common word, which the log cannot mask" for name in bare]

    # The methods of `operations.up.Intent`

    def begin(self, *, fresh: bool) -> None:
        """Do nothing: no preparation is needed."""

    def placed(self, environment: Environment, drivers: Drivers) -> None:  # noqa: ARG002  for `Intent`
        """Mask the secrets again, because the environment now has its final port offset."""
        self.learn(environment)

    def owned(self, *, owned: bool) -> None:
        """Do nothing: the reports do not depend on whether the environment existed before."""

    def failed(self, environment: Environment, drivers: Drivers, error: Exception) -> None:
        """Gather evidence of a failed `up` before envkit removes the resources that it created."""
        from envkit.operations.gather import of_failed_up

        self.learn(environment)
        assert self._place is not None
        _, paths, _, control = self._place
        gathered = of_failed_up(environment, paths, drivers, control, error, self.wanted.artifacts)
        if gathered:
            self.verdict, self.evidence = gathered.verdict, str(gathered.path)
            control.stream.note(f"evidence in {gathered.path}")

    # At the end

    def _failed(self, error: EnvkitError) -> None:
        if isinstance(error, EnvironmentFailed) and self.wanted.artifacts and not (error.evidence or self.evidence):
            self.gather(error)
        self.evidence = self.evidence or error.evidence
        with self.platform.foreign():
            self.show(error)
        error.told = True
        for mark in of_error(self.verb, error, self.verdict, self._redact):
            self.platform.annotate(mark)
        self._leave(error)

    def _leave(self, error: EnvkitError | None) -> None:
        """Write outputs, summary and reports, and without an error also the annotations of the runs."""
        account = self._account(error)
        if error is None:
            for mark in of_run(account):
                self.platform.annotate(mark)
        trouble, verdict = account.trouble, account.verdict
        reason = verdict.reason if verdict else trouble.message if trouble else ""
        outputs = {"environment": self.name, "result": account.result, "reason": reason, "evidence": self.evidence}
        self._write(lambda: self.platform.leave(JobResult(outputs=outputs, summary=summary.page(account))))
        if self.wanted.junit:
            self._write(lambda: _put(self.wanted.junit, junit.document(account)))
        if self.wanted.dotenv and error is None:
            text, without = dotenv(self._variables)
            self._write(lambda: [*_put(self.wanted.dotenv, text), *without])

    def _write(self, write: Callable[[], list[str]]) -> None:
        """Call `write` and print its lines. A file that cannot be written does not change the exit code."""
        try:
            lines = write()
        except OSError as trouble:
            lines = [f"not written: {trouble}"]
        for line in lines:
            self.note(line)

    def _where(self) -> str:
        if self._place is None:
            return ""
        drivers = self._place[2]
        return f"{drivers.lane} on {drivers.engine}" if drivers.engine else f"{drivers.lane}, plain processes"

    def _account(self, error: EnvkitError | None) -> JobReport:
        trouble = Trouble(type(error).__name__, error.message, error.hint, error.detail) if error else None
        return JobReport(
            self.verb, self.name, self._where(), self._began, time.time() - self._began, self.steps.spans,
            tuple(self.rows), trouble, self.verdict, self.evidence,
        ).redacted(self._redact)  # fmt: skip


def _put(path: Path | None, text: str) -> list[str]:
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return []
