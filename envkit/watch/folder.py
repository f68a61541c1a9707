"""The folder of one run: where everything that is known of it lies, also when envkit was killed."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from envkit.base.paths import Paths, make_folder, write_private
from envkit.drivers.runtimes.process_table import Stamp

KEPT = 10
"""Runs of one environment that are kept; older ones go when a new one begins."""


@dataclass(frozen=True)
class RunFolder:
    """Names of the files of one run, mode 0700 altogether: logs and variables may hold secrets."""

    path: Path

    @property
    def timeline(self) -> Path:
        """`timeline.Happening`, one a line."""
        return self.path / "timeline.jsonl"

    @property
    def samples(self) -> Path:
        """`timeline.Sample`, one a line."""
        return self.path / "samples.jsonl"

    @property
    def probes(self) -> Path:
        """`timeline.ProbeSeen`, one a line."""
        return self.path / "probes.jsonl"

    @property
    def events(self) -> Path:
        """The events of `up` and `down` (`report.lines`), each with `time`, seconds since 1970."""
        return self.path / "events.jsonl"

    @property
    def logs(self) -> Path:
        """`SERVICE.log` for each service: its beginning and its end when it is long."""
        return self.path / "logs"

    @property
    def facts(self) -> Path:
        """What was run where, when and how it ended: `read_facts`."""
        return self.path / "run.json"

    def read_facts(self) -> dict[str, Any]:
        """`argv` (secrets masked), `began`, `ended`, `code`, `environment`, `lane`, `engine`, `owned`, `runs`."""
        try:
            found: dict[str, Any] = json.loads(self.facts.read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return found

    def stamps(self) -> list[Stamp]:
        """The wrapper's process and its watch's, in this order, as far as they were written down."""
        rows = self.read_facts().get("processes") or ()
        return [stamp for row in rows if (stamp := Stamp.read(row))]

    def write_facts(self, **changed: Any) -> None:
        """Change some of the facts; the file is replaced as a whole."""
        write_private(self.facts, json.dumps({**self.read_facts(), **changed}, indent=1))


def new(paths: Paths) -> RunFolder:
    """Make the folder of a run that begins now, and forget those before the last `KEPT`."""
    make_folder(paths.runs)
    path = paths.runs / f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    path.mkdir(mode=0o700)
    (path / "logs").mkdir(mode=0o700)
    for old in all_of(paths)[:-KEPT]:
        shutil.rmtree(old.path, ignore_errors=True)
    return RunFolder(path)


def all_of(paths: Paths) -> list[RunFolder]:
    """Every run that is kept, the oldest first."""
    found: list[Path] = []
    with suppress(OSError):
        found = sorted(path for path in paths.runs.iterdir() if path.is_dir())
    return [RunFolder(path) for path in found]


def latest(paths: Paths) -> RunFolder | None:
    """The last run, or None."""
    return next(reversed(all_of(paths)), None)
