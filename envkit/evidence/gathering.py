"""Gathers evidence: all collectors run in parallel, each with its own time limit, all within one deadline."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Event

from envkit.base.errors import EnvironmentFailed
from envkit.base.paths import Paths, make_folder
from envkit.config.models import Environment
from envkit.evidence.bundle import Bundle, packed
from envkit.evidence.collectors import Collector, every
from envkit.evidence.collectors.context import CollectionContext, in_background
from envkit.evidence.examination import examine
from envkit.evidence.findings import Findings
from envkit.evidence.verdict import Verdict, judge
from envkit.inventory.drivers import Drivers

KEPT = 10
"""Number of folders of evidence that the state folder keeps for one environment; older folders are removed."""

CLOSING = 0.15
"""Share of the given time that is reserved for the index and the archive."""


def collect(
    environment: Environment, paths: Paths, drivers: Drivers, run_folder: Path | None, *, seconds: float,
    into: Path | None = None, findings: Findings | None = None, verdict: Verdict | None = None, archive: bool = False,
    collectors: Sequence[Collector] | None = None,
) -> Path:  # fmt: skip
    """Gather the evidence within `seconds`, and return its folder or archive. No cancellation shortens the time.

    The folder is made in `into`, or else in the state folder. A collector that fails or is too slow leaves a note in
    the index. Raises `EnvironmentFailed` only if no folder can be made at all.
    """
    deadline = time.monotonic() + seconds * (1 - CLOSING)
    drivers = drivers.undisturbed()
    found = findings or examine(environment, paths, drivers, run_folder, seconds=seconds / 4)
    bundle = _opened(environment, paths, drivers.caller.environ, into)
    scene = CollectionContext(environment, paths, drivers, run_folder, bundle, found, found.began or time.time() - 3600)
    _all(scene, every() if collectors is None else collectors, deadline)
    bundle.close()
    from envkit.evidence.index import write

    write(bundle, scene, verdict or judge(found))
    if into is None:
        _forget_old(paths.evidence)
    return packed(bundle.folder) if archive else bundle.folder


def _opened(environment: Environment, paths: Paths, environ: Mapping[str, str], into: Path | None) -> Bundle:
    """Return a bundle in a new folder. If the requested place is not writable, use a temporary directory."""
    from envkit.evidence.secrets import redactor

    name = f"{environment.name}-{datetime.now():%Y%m%d-%H%M%S-%f}"
    redact = redactor(environment, paths, environ)
    trouble: list[str] = []
    for home in (into or paths.evidence, Path(tempfile.gettempdir()), Path("/dev/shm")):  # noqa: S108  the last resort on a full disk
        try:
            make_folder(home)
            (home / name).mkdir(mode=0o700)
            _takes_files(home / name)
        except OSError as error:
            with suppress(OSError):
                shutil.rmtree(home / name)
            trouble.append(f"{home}: {error.strerror or error}")
            continue
        bundle = Bundle(home / name, redact)
        for line in trouble:
            bundle.note(f"not written to the requested folder: {line}")
        return bundle
    raise EnvironmentFailed(f"no folder for evidence can be made: {'; '.join(trouble)}", hint="is the disk full?")


def _takes_files(folder: Path) -> None:
    """Write and remove a file of 1 MiB, because a folder can be made even on a full disk. Raises `OSError` if it is."""
    probe = folder / ".room"
    probe.write_bytes(b"\0" * (1 << 20))
    probe.unlink()


def _all(scene: CollectionContext, collectors: Sequence[Collector], deadline: float) -> None:
    """Start all collectors. Wait for each until its time limit or the deadline; do not wait for late ones."""
    began = time.monotonic()
    running = [(one, _begun(scene, one.collect, one.name)) for one in collectors]
    for one, done in running:
        if not done.wait(max(0.0, min(began + one.seconds, deadline) - time.monotonic())):
            scene.bundle.note(f"{one.name}: not finished after {time.monotonic() - began:.0f} s")


def _begun(scene: CollectionContext, work: Callable[[CollectionContext], None], name: str) -> Event:
    done = Event()

    def body() -> None:
        try:
            with scene.noted(name):
                work(scene)
        finally:
            done.set()

    in_background(body)
    return done


def _forget_old(home: Path) -> None:
    every = sorted(path for path in home.iterdir() if path.is_dir() and (path / "index.md").exists())
    for folder in every[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)
