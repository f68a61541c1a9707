"""Reports `run` in a CI job: groups in the log, and the data for the job's summary."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.ci.job import Job
from envkit.cli.run_reporter import RunReporter
from envkit.operations.run import Row

if TYPE_CHECKING:
    from envkit.cli.context import Opened
    from envkit.config.models import Environment
    from envkit.evidence import Verdict
    from envkit.inventory.state import Record

TITLES = {"up": ("envkit up", True), "command": ("the command", False), "down": ("envkit down", True)}
"""For each phase of a run: its title, and whether it is folded. Users read the command's output, so it stays open."""


class CiRunReporter(RunReporter):
    """Writes the usual lines in groups, and keeps the data that the job's summary needs."""

    def __init__(self, as_json: bool, job: Job) -> None:
        super().__init__(as_json)
        self._job = job

    def opened(self, target: Opened) -> None:
        """Mask the secrets that the environment already has."""
        self._job.opened(target.environment, target.paths, target.drivers, target.control)

    def ready(self, environment: Environment, record: Record) -> None:
        """Mask the secrets that `up` generated, before the command can print them."""
        self._job.ready(environment, record)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Return a group of the log for the phase; it is folded, except for the command."""
        title, folded = TITLES.get(name, ("", True))
        return (
            self._job.group(f"{title} {self._job.name}" if folded else title, folded=folded) if title else nullcontext()
        )

    def row(self, row: Row) -> None:
        """Keep the row for the summary."""
        self._job.rows.append(row)

    def verdict(self, verdict: Verdict) -> None:
        """Show the verdict and keep it. Read the secrets now, while the environment still exists."""
        self._job.learn()
        self._job.verdict = verdict
        with self._job.platform.foreign():
            super().verdict(verdict)

    def evidence(self, path: Path) -> None:
        """Show the path of the evidence, and keep it for the summary."""
        self._job.evidence = str(path)
        super().evidence(path)
