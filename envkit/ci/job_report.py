"""The result of one command in a CI job: a plain value without secrets, the input of the summary and of JUnit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envkit.evidence import Verdict
    from envkit.inventory.timings import Span
    from envkit.operations.run import Row


@dataclass(frozen=True)
class Trouble:
    """One error of envkit as text; `kind` is the name of its class."""

    kind: str
    message: str
    hint: str = ""
    detail: str = ""

    @property
    def text(self) -> str:
        """The message, the detail and the next step, with empty lines between them."""
        parts = (self.message, self.detail.rstrip(), f"next: {self.hint}" if self.hint else "")
        return "\n\n".join(part for part in parts if part)


@dataclass(frozen=True)
class JobReport:
    """The result of one command.

    `verb` is `up` or `run`. `where` names the lane and the engine. `began` is in seconds since 1970, `seconds` is the
    duration, and `evidence` is the path of the folder with the evidence.
    """

    verb: str
    name: str
    where: str = ""
    began: float = 0.0
    seconds: float = 0.0
    steps: tuple[Span, ...] = ()
    rows: tuple[Row, ...] = ()
    trouble: Trouble | None = None
    verdict: Verdict | None = None
    evidence: str = ""

    @property
    def result(self) -> str:
        """`passed`, `failed` (the command failed), `environment` (the environment failed) or `cancelled`."""
        if self.trouble is not None:
            return "cancelled" if self.trouble.kind == "Cancelled" else "environment"
        return self.rows[-1].result if self.rows else "passed"

    @property
    def headline(self) -> str:
        """One line with the result and the duration."""
        return f"{self.verb} {self.name}: {self._ended()} after {self.seconds:.1f} s"

    def _ended(self) -> str:
        if self.result == "cancelled":
            return "cancelled"
        if self.trouble is not None:
            return "the environment failed"
        if self.result == "passed":
            return "up" if self.verb == "up" else "the command succeeded"
        fault = self.verdict.fault if self.verdict else ""
        who = {"environment": " (the environment's fault)", "test": " (not the environment's fault)"}.get(fault, "")
        return f"the command ended with {self.rows[-1].code}{who}"

    def redacted(self, redact: Callable[[str], str]) -> JobReport:
        """Return a copy with `redact` applied to the texts of the error, the verdict, the steps and the runs."""
        trouble, verdict = self.trouble, self.verdict
        if trouble:
            parts = (redact(part) for part in (trouble.message, trouble.hint, trouble.detail))
            trouble = Trouble(trouble.kind, *parts)
        if verdict:
            because = tuple(redact(line) for line in verdict.because)
            verdict = replace(verdict, reason=redact(verdict.reason), because=because, next=redact(verdict.next))
        steps = tuple(replace(step, message=redact(step.message)) for step in self.steps)
        rows = tuple(replace(row, reason=redact(row.reason)) for row in self.rows)
        return replace(self, steps=steps, rows=rows, trouble=trouble, verdict=verdict)
