"""Build the Markdown page of the job summary: result, likely cause and durations. This module has no side effects."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from envkit.ci.job_report import JobReport
from envkit.inventory.timings import Span

LONGEST = 200
"""Maximum length of a message in a table, in characters."""

LINES = 60
"""Number of lines kept from the end of an error's log."""


def page(account: JobReport) -> str:
    """Return the page as Markdown. It ends with an empty line, because other steps append to the same page."""
    return "\n".join([*_parts(account), "", ""])


def _parts(account: JobReport) -> Iterator[str]:
    mark = "✓" if account.result == "passed" else "✗"
    yield f"### {mark} envkit {text(account.headline)}"
    if account.where:
        yield f"\n{text(account.where)}"
    yield from _cause(account)
    if account.evidence:
        yield f"\nEvidence: {code(account.evidence)}"
    if len(account.rows) > 1:
        cells = [(str(r.number), r.result, str(r.code), f"{r.seconds:.1f} s", r.reason) for r in account.rows]
        yield from _table(("run", "result", "code", "took", "what happened"), cells)
    if account.steps:
        slowest = max(account.steps, key=lambda step: step.seconds)  # shown in bold
        steps = [(step.step, step.state, *_times(step), _first(step.message)) for step in account.steps]
        yield from _table(
            ("step", "result", "began after", "took", ""), steps, bold=slowest.step if slowest.seconds else ""
        )


def _cause(account: JobReport) -> Iterator[str]:
    verdict, trouble = account.verdict, account.trouble
    judged = verdict is not None and verdict.fault in ("environment", "test")
    if verdict and judged:
        yield f"\n**Likely cause** ({verdict.confidence}): {text(verdict.reason)}\n"
        yield from (f"- {text(line)}" for line in verdict.because)
        if verdict.next:
            yield f"\nNext: {text(verdict.next)}"
    if trouble is None:
        return
    yield f"\n{'**Error**' if judged else '**Cause**'}: {_lines(trouble.message)}"
    if trouble.hint:
        yield f"\nNext: {_lines(trouble.hint)}"
    if trouble.detail:
        yield f"\n<details><summary>Log</summary>\n\n{_fenced(trouble.detail)}\n\n</details>"


def text(said: str) -> str:
    """Return `said` with Markdown and HTML escaped."""
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", html.escape(" ".join(said.split()), quote=False))


def code(said: str) -> str:
    """Return `said` as inline code, between backticks in a longer run than any run of backticks in `said`."""
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", said)), default=0))
    space = " " if said.startswith("`") or said.endswith("`") else ""
    return f"{ticks}{space}{said}{space}{ticks}"


def _times(step: Span) -> tuple[str, str]:
    return ("", "") if step.began is None else (f"{step.began:.1f} s", f"{step.seconds:.1f} s")


def _lines(said: str) -> str:
    return "<br>".join(text(line) for line in said.splitlines())


def _first(said: str) -> str:
    line = said.splitlines()[0] if said else ""
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def _fenced(said: str) -> str:
    lines = said.rstrip().splitlines()[-LINES:]
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", said)), default=0))
    return "\n".join([fence + "text", *lines, fence])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], bold: str = "") -> Iterator[str]:
    yield f"\n| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        cells = [text(cell) for cell in row]
        if bold and row[0] == bold:
            cells[0] = f"**{cells[0]}**"
        yield f"| {' | '.join(cells)} |"
