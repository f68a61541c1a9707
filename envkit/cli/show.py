"""Prints results of commands, as text or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from envkit.base.errors import EnvironmentFailed
from envkit.cli import terminal
from envkit.cli.flags import Flags, program
from envkit.cli.terminal import table
from envkit.inventory import state
from envkit.inventory.export import masked

if TYPE_CHECKING:
    from envkit.operations.gather import Gathered
    from envkit.operations.reset import Part
    from envkit.operations.status import Row, Status
    from envkit.operations.up import Outcome
    from envkit.planning.plan import Plan

Out = Callable[[str], object]

BRIEF = 24
"""Maximum length of a service's health in its column, in characters."""


def plan(steps: Plan, flags: Flags, out: Out) -> None:
    """Print each step with its action and the reason."""
    if flags.json:
        rows: list[dict[str, Any]] = [
            {"step": s.id, "action": s.action.value, "reason": s.reason, "needs": list(s.needs)} for s in steps.steps
        ]
        out(json.dumps(rows, indent=2) + "\n")
        return
    if steps.steps:
        actions = [(step.action.value, step.id, step.reason) for step in steps.steps]
        out(table(actions, terminal.edge(flags.environ)))
    count = len(steps.changes)
    out(f"{count} of {len(steps.steps)} steps would change something\n" if count else "nothing to do\n")


def up(outcome: Outcome, flags: Flags, out: Out, *, timeline: bool = False) -> None:
    """Print the environment's variables and the commands to use it. With `timeline`, also print the timeline."""
    record = outcome.record
    if flags.json:
        rows = {step: round(seconds, 3) for step, seconds in outcome.times.items()}
        body: dict[str, Any] = {"name": record.name, "engine": record.engine, "part": record.part()}
        body |= {"port_offset": record.port_offset}
        body |= {"seconds": rows, "ports": dict(record.ports)}
        variables = {name: masked(name, value) for name, value in sorted(record.variables.items())}
        more = {"timeline": _timings(flags) if outcome.plan.changes else None} if timeline else {}
        out(json.dumps({**body, **more, "variables": variables}, indent=2) + "\n")
        return
    if timeline and outcome.plan.changes:
        _draw_timeline(flags, out)
    where = f"{record.lane} on {record.engine}" if record.engine else f"{record.lane}, plain processes"
    where += f", port offset {record.port_offset}" if record.offset_chosen else ""
    out(f"\nenvironment {record.name} is {record.standing} ({where}); its variables:\n\n")
    for name, value in sorted(record.variables.items()):
        out(f"  {name}={masked(name, value)}\n")
    import shlex

    given = flags.words()
    words = f" {shlex.join(given)}" if given else ""
    out(f'\nuse it:   eval "$({program()} env{words})"\n')
    out(f"or:       {program()} run{words} -- COMMAND\n")
    out(f"stop it:  {program()} down{words}\n")


def _draw_timeline(flags: Flags, out: Out) -> None:
    out("\n")
    timeline(flags, out)


def _timings(flags: Flags) -> dict[str, Any] | None:
    from envkit.inventory.timings import read

    found = read(flags.paths())
    return found.facts() if found else None


def timeline(flags: Flags, out: Out) -> bool:
    """Print the timeline of the last `up`. Return False if no timeline is recorded."""
    from envkit.inventory.timings import read
    from envkit.report.bars import Style, draw

    found = read(flags.paths())
    if found is None:
        return False
    if flags.json:
        out(json.dumps(found.facts(), indent=2) + "\n")
        return True
    look = Style(terminal.width(flags.environ), terminal.letters(sys.stdout), terminal.colourful(flags.environ))
    out(draw(found, look))
    return True


@contextmanager
def drawn_on_failure(flags: Flags, wanted: bool) -> Iterator[None]:
    """If the environment fails inside the block, print the timeline to standard error, if it is wanted."""
    try:
        yield
    except EnvironmentFailed:
        if wanted:
            timeline(flags, sys.stderr.write)
        raise


def log_row(service: str, line: str) -> None:
    """Print a line of a service's log as JSON."""
    sys.stdout.write(json.dumps({"service": service, "line": line}) + "\n")
    sys.stdout.flush()


def gathered(found: Gathered, flags: Flags, out: Out) -> None:
    """Print the verdict and the path of the evidence."""
    if flags.json:
        out(json.dumps({"path": str(found.path), **asdict(found.verdict)}, indent=2) + "\n")
    else:
        out(f"{found.verdict.text()}\nevidence: {found.path}\n")


def down(name: str, removed: Sequence[str], flags: Flags, out: Out) -> None:
    """Print what was removed."""
    if flags.json:
        out(json.dumps({"name": name, "removed": list(removed)}, indent=2) + "\n")
    elif removed:
        out(f"environment {name} is down: {len(removed)} things removed\n")
    else:
        out(f"environment {name} was not up: nothing to remove\n")


def reset(parts: Sequence[Part], seconds: float, flags: Flags, out: Out) -> None:
    """Print each part that was reset, and its time."""
    if flags.json:
        rows = [{"name": part.name, "message": part.said, "seconds": round(part.seconds, 3)} for part in parts]
        out(json.dumps({"seconds": round(seconds, 3), "parts": rows}, indent=2) + "\n")
        return
    shown = [(part.name, f"{part.seconds:.2f}s", part.said) for part in parts]
    out(table(shown, terminal.edge(flags.environ)) if parts else "nothing to reset\n")


def paused(name: str, held: Sequence[str], flags: Flags, out: Out) -> None:
    """Print what is paused, and the command that resumes it."""
    if flags.json:
        out(json.dumps({"name": name, "paused": list(held)}, indent=2) + "\n")
        return
    import shlex

    out(f"environment {name} is paused: {', '.join(held)}\n")
    out(f"resume:   {shlex.join([program(), 'up', *flags.words()])}\n")


def as_data(found: Status) -> dict[str, Any]:
    """Return an environment's state as JSON data; memory is in bytes, processor time in seconds."""
    rows = [
        {
            "name": row.name, "state": row.state, "health": row.health, "addresses": dict(row.addresses),
            "image": row.image, "age": row.since, "source": row.source, "memory": row.usage.memory,
            "memory_limit": row.limit or None, "cpu_seconds": round(row.usage.cpu, 3),
            "cpu_share": None if row.share is None else round(row.share, 3),
        }
        for row in found.rows
    ]  # fmt: skip
    said = {"name": found.name, "engine": found.engine, "up": found.up, "paused": found.paused}
    part = state.part((row.name for row in found.asked), len(found.rows)) if found.in_part else None
    return {
        **said,
        "port_offset": found.port_offset,
        "part": part,
        "missing": found.missing,
        "host": found.host,
        "services": rows,
    }


def status(found: Status, flags: Flags, out: Out) -> None:
    """Print a row for each service."""
    if flags.json:
        out(json.dumps(as_data(found), indent=2) + "\n")
        return
    columns = terminal.edge(flags.environ)
    offset = f", port offset {found.port_offset}" if found.offset_chosen else ""
    out(terminal.folded(f"environment {found.name} on {found.engine}{offset}: {found.standing}\n\n", columns))
    body = [
        (row.name, row.state, _brief(row.health), ", ".join(f"{k} {v}" for k, v in row.addresses.items()), row.since,
         _memory(row), _cpu(row), row.source or row.image)
        for row in found.rows
    ]  # fmt: skip
    last = "PROGRAM" if any(row.source for row in found.rows) else "IMAGE"
    head = ("SERVICE", "STATE", "HEALTH", "ADDRESS", "AGE", "MEMORY", "CPU", last)
    out(table([head, *body], columns, headed=True))
    long = [f"{row.name}: {row.health.removeprefix(f'{row.name}: ')}\n" for row in found.rows if _long(row.health)]
    out(terminal.folded("".join(["\n", *long] if long else []), columns))
    missing = [f"missing: {line}\n" for line in found.missing]
    out(terminal.folded("".join(["\n", *missing] if missing else []), columns))
    out(f"\nservices reach this host as {found.host}\n" if found.up and found.host else "")


def look(found: Status, flags: Flags, out: Out) -> None:
    """Print one state for `status --watch`: in place on a terminal, else as text below the last one, or as JSON."""
    if flags.json:
        out(json.dumps(as_data(found)) + "\n")
        return
    lines: list[str] = []
    status(found, flags, lines.append)
    if not terminal.moves(sys.stdout, flags.environ):
        out("".join(lines) + "\n")
        return
    from rich.control import Control

    out(f"{Control.home()}{Control.clear()}{''.join(lines)}")


def _memory(row: Row) -> str:
    """Return the used memory, and the limit if there is one."""
    used = f"{row.usage.memory / 2**20:.0f} MiB" if row.usage.memory else ""
    return f"{used} of {row.limit / 2**20:.0f}" if used and row.limit else used


def _cpu(row: Row) -> str:
    """Return the processor time so far, or with `--watch` the share of one processor."""
    if row.share is not None:
        return f"{row.share:.0%}"
    return f"{row.usage.cpu:.1f}s" if row.usage.cpu else ""


def _long(health: str) -> bool:
    return len(health) > BRIEF


def _brief(health: str) -> str:
    """Return the health if it fits the column, else "see below": a longer text is printed below the table."""
    return "see below" if _long(health) else health
