"""Writes the files of one run: its phases, what happened, and the stores' numbers, each with its time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from envkit.cli.run_reporter import RunReporter
from envkit.operations.measure import Measured
from envkit.watch.folder import RunFolder
from envkit.watch.timeline import Happening, Kind, Sample, Writer, now


class RunLog:
    """Writes the timeline and the samples of a run into its folder."""

    def __init__(self, folder: RunFolder, face: RunReporter) -> None:
        self._timeline, self._samples = Writer(folder.timeline), Writer(folder.samples)
        self._face = face

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Record when a part of the run begins and ends, and show it."""
        began = time.monotonic()
        self.stamp("phase", name)
        try:
            with self._face.phase(name):
                yield
        finally:
            self.stamp("phase", f"{name} ended", {"seconds": round(time.monotonic() - began, 3)})

    def stamp(self, kind: Kind, message: str, detail: Mapping[str, Any] | None = None) -> None:
        """Record something that happened now and concerns no service."""
        self._timeline(Happening(now(), kind, "", message, detail or {}))

    def sampled(self, found: Mapping[str, Measured]) -> None:
        """Record the numbers of each store."""
        for name, one in found.items():
            self._samples(Sample(now(), name, one.values))

    def close(self) -> None:
        """Close both files."""
        self._timeline.close()
        self._samples.close()
