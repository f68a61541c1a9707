"""Prints the environments of this machine, as tables or as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from envkit.cli.flags import Flags, program
from envkit.cli.show import Out
from envkit.cli.terminal import edge, table

if TYPE_CHECKING:
    from envkit.operations.init import Written
    from envkit.operations.list import Found, Machine
    from envkit.operations.prune import Pruned, PruneTarget


def environments(machine: Machine, flags: Flags, out: Out) -> None:
    """Print a row for each environment, then the engines that did not answer."""
    if flags.json:
        rows = [as_data(found) for found in machine.environments]
        out(json.dumps({"environments": rows, "silent": dict(machine.silent)}, indent=2) + "\n")
        return
    if not machine.environments:
        out("there are no environments on this machine\n")
    else:
        head = ("NAME", "STATE", "WHERE", "PARTS", "AGE", "EXPIRES", "HELD BY")
        out(table([head, *map(_row, machine.environments)], edge(flags.environ), headed=True))
    for url, reason in machine.silent.items():
        out(f"\nno answer from {url} ({reason})\n")


def _row(found: Found) -> tuple[str, ...]:
    standing = found.record.standing if found.record and found.state == "up" else found.state
    state = f"{standing}, used by {found.running}" if found.running else standing
    where = ", ".join(found.where) or (found.record.engine if found.record else "") or "-"
    age = span(time.time() - found.began) if found.began else "-"
    held = ", ".join(found.roots) or "-"
    return (found.name, state, where, str(len(found.things)), age, _until(found.expires), held)


def _until(moment: float) -> str:
    if not moment:
        return "never"
    left = moment - time.time()
    return f"in {span(left)}" if left > 0 else "expired"


def span(seconds: float) -> str:
    """Return the seconds as a whole number of the largest unit that fits, such as `3h`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def as_data(found: Found) -> dict[str, Any]:
    """Return one environment as JSON data; times are in UTC, missing times are null."""
    return {
        "name": found.name,
        "state": found.state,
        "part": found.record.part() if found.record and found.state == "up" else None,
        "where": list(found.where),
        "lane": found.record.lane if found.record else None,
        "held_by": list(found.roots),
        "began": _stamp(found.began),
        "expires": _stamp(found.expires),
        "job": found.job or None,
        "used_by": found.running or None,
        "unseen": found.unseen or None,
        "parts": [
            {"kind": it.kind, "name": it.name, "where": it.where, "state": it.state or None} for it in found.traces
        ],
    }


def _stamp(moment: float) -> str | None:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds") if moment else None


def prune_targets(chosen: Sequence[PruneTarget], machine: Machine, flags: Flags, out: Out) -> None:
    """Print the environments that would be removed, each with the reason and all its parts."""
    if flags.json:
        rows = [{**as_data(one.found), "reason": one.reason} for one in chosen]
        out(json.dumps({"prunable": rows}, indent=2) + "\n")
        return
    kept = len(machine.environments) - len(chosen)
    if not chosen:
        out(f"nothing to prune: {kept} environments stay (`{program()} list` shows them)\n")
    for one in chosen:
        out(f"{one.found.name}: {one.reason}\n")
        out("".join(f"  {it.kind:<9} {it.name}{f' ({it.state})' if it.state else ''}\n" for it in one.found.traces))


def pruned(done: Sequence[Pruned], flags: Flags, out: Out) -> None:
    """Print what was removed, and what could not be removed."""
    if flags.json:
        rows = [{"name": one.name, "removed": list(one.removed), "problem": one.problem or None} for one in done]
        out(json.dumps({"pruned": rows}, indent=2) + "\n")
        return
    for one in done:
        out(f"{one.name}: {one.problem}\n" if one.problem else f"{one.name}: {len(one.removed)} things removed\n")


def written(made: Written, flags: Flags, out: Out) -> None:
    """Print the files that `init` wrote, and the next commands."""
    if flags.json:
        files = [str(path) for path in made.files]
        out(json.dumps({"files": files, "seen": list(made.seen), "notes": list(made.notes)}, indent=2) + "\n")
        return
    origin = f" (from {', '.join(made.seen)})" if made.seen else ""
    out("".join(f"wrote {path}{origin if path == made.files[0] else ''}\n" for path in made.files))
    out("".join(f"note: {note}\n" for note in made.notes))
    out(f"\nlook at it:  {program()} plan\nuse it:      {program()} run -- {made.test}\n")
