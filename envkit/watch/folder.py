"""The folder of one run. It contains everything that was recorded about the run, even if envkit was killed."""

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
"""Number of runs that are kept for one environment. A new run removes the folders of older runs."""


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run's files. The folder has mode 0700, because logs and variables can contain secrets."""

    path: Path

    @property
    def timeline(self) -> Path:
        """Return the path of the timeline, with one `timeline.Happening` on each line."""
        return self.path / "timeline.jsonl"

    @property
    def samples(self) -> Path:
        """Return the path of the samples, with one `timeline.Sample` on each line."""
        return self.path / "samples.jsonl"

    @property
    def probes(self) -> Path:
        """Return the path of the probes' results, with one `timeline.ProbeSeen` on each line."""
        return self.path / "probes.jsonl"

    @property
    def events(self) -> Path:
        """Return the path of the events of `up` and `down` (`report.lines`). `time` is in seconds since 1970."""
        return self.path / "events.jsonl"

    @property
    def logs(self) -> Path:
        """Return the folder with `SERVICE.log` for each service. The middle of a long log is left out."""
        return self.path / "logs"

    @property
    def facts(self) -> Path:
        """Return the path of the facts about the run: the command, its folder, its times and its end."""
        return self.path / "run.json"

    def read_facts(self) -> dict[str, Any]:
        """Return the facts about the run, or an empty mapping if the file cannot be read.

        Among the keys are `argv` (secrets masked), `cwd`, `began`, `ended`, `code`, `environment`, `lane`, `engine`,
        `owned`, `keep`, `processes` and `runs`.
        """
        try:
            found: dict[str, Any] = json.loads(self.facts.read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return found

    def stamps(self) -> list[Stamp]:
        """Return the recorded processes: first the wrapper, then the supervisor."""
        rows = self.read_facts().get("processes") or ()
        return [stamp for row in rows if (stamp := Stamp.read(row))]

    def write_facts(self, **changed: Any) -> None:
        """Change some of the facts; the file is replaced as a whole."""
        write_private(self.facts, json.dumps({**self.read_facts(), **changed}, indent=1))


def new(paths: Paths) -> RunFolder:
    """Make the folder of a run that begins now, and return it. Remove all but the last `KEPT` runs."""
    make_folder(paths.runs)
    path = paths.runs / f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    path.mkdir(mode=0o700)
    (path / "logs").mkdir(mode=0o700)
    for old in all_of(paths)[:-KEPT]:
        shutil.rmtree(old.path, ignore_errors=True)
    return RunFolder(path)


def all_of(paths: Paths) -> list[RunFolder]:
    """Return all runs that are kept, the oldest first."""
    found: list[Path] = []
    with suppress(OSError):
        found = sorted(path for path in paths.runs.iterdir() if path.is_dir())
    return [RunFolder(path) for path in found]


def latest(paths: Paths) -> RunFolder | None:
    """Return the last run, or None."""
    return next(reversed(all_of(paths)), None)
