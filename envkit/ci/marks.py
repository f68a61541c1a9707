"""Annotations: few, each with the next step. Services show about ten of a step, so the first ones must say it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.errors import Cancelled, ConfigError, EnvkitError, Fault
from envkit.ci.account import Account
from envkit.ci.platform import Mark
from envkit.config.yamlfile import line_of

if TYPE_CHECKING:
    from envkit.evidence import Verdict

MOST = 8
"""Annotations of one error."""

WHO = {"environment": "the environment's fault", "test": "not the environment's fault"}


def of_error(
    verb: str, error: EnvkitError, verdict: Verdict | None, redact: Callable[[str], str]
) -> Iterator[Mark]:  # fmt: skip
    """One for each fault of a configuration, at its place; else one, with the likely cause. None for a cancel."""
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
    yield Mark("error", f"envkit {verb}", redact("\n".join(parts)))


def of_run(account: Account) -> Iterator[Mark]:
    """The verdict on a command that failed; a warning where it succeeded although a service was hurt."""
    if account.result in ("failed", "environment"):
        verdict, row = account.verdict, account.rows[-1]
        who = WHO.get(verdict.fault, "whose fault it was is unknown") if verdict else WHO["environment"]
        ended, reason = f"the command ended with {row.code}", verdict.reason if verdict else row.reason
        lines = [reason if reason.startswith(ended) else f"{ended}: {reason}"]
        if verdict:
            lines += [f"- {line}" for line in verdict.because]
            lines += [f"next: {verdict.next}"] if verdict.next else []
        yield Mark("error", f"envkit {account.verb}: {who}", "\n".join(lines))
    elif account.result == "passed":
        for row in account.rows:
            if row.reason:
                yield Mark("warning", f"envkit {account.verb}", f"the command succeeded, but {row.reason}")


def _of_fault(fault: Fault, redact: Callable[[str], str]) -> Mark:
    path = Path(fault.file)
    here = path.is_file()
    text = redact(f"{fault.path}: {fault.message}" if fault.path else fault.message)
    return Mark(
        "error", "envkit: the configuration", text if here else f"{fault.file}: {text}", fault.file if here else "",
        line_of(path, fault.path) if here else 0,
    )  # fmt: skip
