"""What a run left whose wrapper and watch died together: nobody wants it any more, and nobody took it away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envkit.base.paths import Paths
from envkit.inventory import state
from envkit.watch import command_processes
from envkit.watch.folder import RunFolder, all_of, latest


def orphan_of(paths: Paths) -> RunFolder | None:
    """The last run, when what is up was brought up by it, and it did not live to take it down; None otherwise.

    An `up` since then has written a younger record: what is up is that one's.
    """
    run = latest(paths)
    facts: dict[str, Any] = run.read_facts() if run else {}
    if run is None or not facts.get("owned") or facts.get("keep") or "ended" in facts:
        return None
    if not all(stamp.gone for stamp in run.stamps()):
        return None
    record = state.read(paths)
    younger = record is not None and paths.state.stat().st_mtime > _last_word(run.path)
    return None if younger else run


def end_lost_commands(paths: Paths) -> list[int]:
    """End the commands of runs whose wrapper and watch were killed together; the processes that were there."""
    ended = []
    for run in all_of(paths):
        facts = run.read_facts()
        stamps = run.stamps()
        if not stamps or "ended" in facts or facts.get("command_ended") or not all(it.gone for it in stamps):
            continue
        ended += command_processes.end_processes(run.path)
        run.write_facts(command_ended=True)
    return ended


def _last_word(path: Path) -> float:
    """When anything of the run was last written down."""
    return max((file.stat().st_mtime for file in path.rglob("*") if file.is_file()), default=0.0)
