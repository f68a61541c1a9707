"""Build annotations, at most eight for an error, because CI services show about ten for each step of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.errors import Cancelled, ConfigError, EnvkitError, Fault
from envkit.ci.job_report import JobReport
from envkit.ci.platform import Annotation
from envkit.config.yamlfile import line_of

if TYPE_CHECKING:
    from envkit.evidence import Verdict

MOST = 8
"""Maximum number of annotations for one error."""

WHO = {"environment": "the environment's fault", "test": "not the environment's fault"}


def of_error(
    verb: str, error: EnvkitError, verdict: Verdict | None, redact: Callable[[str], str]
) -> Iterator[Annotation]:  # fmt: skip
    """Yield an annotation at the line of each configuration fault, or one with the likely cause of another error.

    Yields nothing if the command was cancelled.
    """
    if isinstance(error, Cancelled):
        return
    if isinstance(error, ConfigError):
        for fault in error.faults[:MOST]:
            yield _of_fault(fault, redact)
        return
    parts = [error.message]
    if verdict and verdict.fault == "environment" and verdict.reason not in error.message:
        parts.append(f"likely cause ({verdict.confidence}): {verdict.reason}")
    parts += [f"next: {line}" for line in error.hint.splitlines()]
    yield Annotation("error", f"envkit {verb}", redact("\n".join(parts)))


def of_run(account: JobReport) -> Iterator[Annotation]:
    """Yield the verdict on a failed command, or a warning for each successful run during which a service failed."""
    if account.result in ("failed", "environment"):
        verdict, row = account.verdict, account.rows[-1]
        who = WHO.get(verdict.fault, "the cause is unknown") if verdict else WHO["environment"]
        ended, reason = f"the command ended with {row.code}", verdict.reason if verdict else row.reason
        lines = [reason if reason.startswith(ended) else f"{ended}: {reason}"]
        if verdict:
            lines += [f"- {line}" for line in verdict.because]
            lines += [f"next: {verdict.next}"] if verdict.next else []
        yield Annotation("error", f"envkit {account.verb}: {who}", "\n".join(lines))
    elif account.result == "passed":
        for row in account.rows:
            if row.reason:
                yield Annotation("warning", f"envkit {account.verb}", f"the command succeeded, but {row.reason}")


def _of_fault(fault: Fault, redact: Callable[[str], str]) -> Annotation:
    path = Path(fault.file)
    here = path.is_file()
    text = redact(f"{fault.path}: {fault.message}" if fault.path else fault.message)
    return Annotation(
        "error", "envkit: the configuration", text if here else f"{fault.file}: {text}", fault.file if here else "",
        line_of(path, fault.path) if here else 0,
    )  # fmt: skip
