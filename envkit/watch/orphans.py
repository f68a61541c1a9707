"""Finds what a run left behind if its wrapper (the `envkit run` process) and its supervisor were killed together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envkit.base.paths import Paths
from envkit.inventory import state
from envkit.watch import command_processes
from envkit.watch.folder import RunFolder, all_of, latest


def orphan_of(paths: Paths) -> RunFolder | None:
    """Return the last run if it brought the environment up and was killed before it could take it down, else None.

    If the state record is newer than the run's files, a later `up` owns the environment, and the result is None.
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
    """End the commands of runs whose wrapper and supervisor were killed together; return the process ids."""
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
    """Return the newest modification time of the run's files."""
    return max((file.stat().st_mtime for file in path.rglob("*") if file.is_file()), default=0.0)
