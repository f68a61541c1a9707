"""Diagnoses a failure of `run` before anything is taken down: examines, judges, collects evidence, reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.errors import Cancelled as CancelledError
from envkit.base.errors import EnvironmentFailed, EnvkitError
from envkit.base.waiting import Cancel
from envkit.cli.run_reporter import RunReporter
from envkit.operations.run import Cancelled

if TYPE_CHECKING:
    from envkit.cli.context import Opened
    from envkit.evidence import Verdict

EVIDENCE_SECONDS, HURRIED_SECONDS = 30.0, 3.0
"""Longest time in seconds for evidence of a failure, and of a cancelled run.

CI services send SIGKILL about ten seconds after they cancel a job.
"""


@dataclass(frozen=True)
class DiagnosisTarget:
    """The destination of a diagnosis: the run's folder, `--artifacts`, the reporter, and the log of phases."""

    folder: Path
    artifacts: Path | None
    face: RunReporter
    phase: Callable[[str], AbstractContextManager[None]]


@dataclass
class Diagnosis:
    """The diagnosis of one `run`. `cancelled` and `between` receive the run's signals."""

    said: DiagnosisTarget
    cancelled: Cancelled
    between: Cancel
    _judged: bool = False

    @contextmanager
    def judging(self, target: Callable[[], Opened]) -> Iterator[None]:
        """Explain an error of the block before anything is taken down, and raise it again."""
        try:
            yield
        except CancelledError as error:
            self.explain(target(), error=error, signum=error.signum, seconds=HURRIED_SECONDS)
            raise
        except EnvironmentFailed as error:
            self.explain(target(), error=error)
            raise

    def on_cancel(self, target: Opened) -> None:
        """Wait for a cancellation, then gather evidence while the command still ends. Runs in a thread."""
        self.cancelled.event.wait()
        self.explain(target, signum=self.cancelled.signum, seconds=HURRIED_SECONDS)

    def explain(
        self, target: Opened, *, error: EnvkitError | None = None, code: int | None = None, signum: int = 0,
        seconds: float = EVIDENCE_SECONDS,
    ) -> Verdict | None:  # fmt: skip
        """Examine and judge a failure, collect evidence and report it; return the verdict.

        Returns None if an error was explained before, or if a second signal ends the wait before the verdict is ready.
        """
        if error is not None and self._judged:
            return None
        self._judged = self._judged or error is not None
        found: list[Verdict] = []
        said = self.said

        def work() -> None:
            from envkit.evidence import collect, examine, judge
            from envkit.operations.gather import of_up

            findings = examine(
                target.environment, target.paths, target.drivers, said.folder, seconds=min(seconds, 6.0) / 2,
                error=error, code=code, signum=signum,
            )  # fmt: skip
            verdict = judge(findings)
            found.append(verdict)
            if not signum:
                said.face.verdict(verdict)
            path = collect(
                target.environment, target.paths, target.drivers, said.folder, seconds=seconds, into=said.artifacts,
                findings=findings, verdict=verdict, collectors=of_up() if error else None,
            )  # fmt: skip
            said.face.evidence(path)
            if error is not None:
                error.evidence = str(path)

        with said.phase("evidence"):
            thread = threading.Thread(target=work, daemon=True, name="evidence")
            thread.start()
            self._wait(thread, target.control.cancel)
        return found[0] if found else None

    def _wait(self, thread: threading.Thread, cancel: Cancel) -> None:
        """Wait until the thread ends. After a signal wait about `HURRIED_SECONDS`; after a second one do not wait."""
        asked = 0.0
        while thread.is_alive() and not self.cancelled.hurry.is_set():
            if (cancel.event.is_set() or self.between.event.is_set()) and not asked:
                asked = time.monotonic()
            if asked and time.monotonic() - asked > HURRIED_SECONDS + 1.0:
                return
            thread.join(0.05)
