"""What a run left whose wrapper and watch died together: nobody wants it any more, and nobody took it away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envkit import state
from envkit.paths import Paths
from envkit.runtimes.marked import alive
from envkit.watch.folder import RunFolder, latest


def orphan_of(paths: Paths) -> RunFolder | None:
    """The last run, when what is up was brought up by it, and it did not live to take it down; None otherwise.

    An `up` since then has written a younger record: what is up is that one's.
    """
    run = latest(paths)
    facts: dict[str, Any] = run.read_facts() if run else {}
    if run is None or not facts.get("owned") or facts.get("keep") or "ended" in facts:
        return None
    if any(alive(int(pid), float(began)) for pid, began in facts.get("processes") or ()):
        return None
    record = state.read(paths)
    younger = record is not None and paths.state.stat().st_mtime > _last_word(run.path)
    return None if younger else run


def _last_word(path: Path) -> float:
    """When anything of the run was last written down."""
    return max((file.stat().st_mtime for file in path.rglob("*") if file.is_file()), default=0.0)
