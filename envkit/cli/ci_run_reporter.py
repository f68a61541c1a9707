"""What `run` says in a job of a CI service: parts of the log, and an account of it all."""

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
"""Parts of a run that have a title, and whether they are folded away: the command's output is what one looks for."""


class CiRunReporter(RunReporter):
    """The usual lines, grouped; what the job's account needs is kept."""

    def __init__(self, as_json: bool, job: Job) -> None:
        super().__init__(as_json)
        self._job = job

    def opened(self, target: Opened) -> None:
        """Its secrets are masked."""
        self._job.opened(target.environment, target.paths, target.drivers, target.control)

    def ready(self, environment: Environment, record: Record) -> None:
        """Those that came while it came up, before the command can show them."""
        self._job.ready(environment, record)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Folded, but for the command."""
        title, folded = TITLES.get(name, ("", True))
        return (
            self._job.group(f"{title} {self._job.name}" if folded else title, folded=folded) if title else nullcontext()
        )

    def row(self, row: Row) -> None:
        """For the account."""
        self._job.rows.append(row)

    def verdict(self, verdict: Verdict) -> None:
        """Said, and kept; the environment is still there, with secrets that nobody will know afterwards."""
        self._job.learn()
        self._job.verdict = verdict
        with self._job.platform.foreign():
            super().verdict(verdict)

    def evidence(self, path: Path) -> None:
        """Where it is."""
        self._job.evidence = str(path)
        super().evidence(path)
