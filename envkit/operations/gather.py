"""`gather`: evidence of the last run, or of how things are now; also where the engine is gone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from envkit import evidence
from envkit.base.control import Control
from envkit.base.errors import EnvkitError
from envkit.base.paths import Paths
from envkit.config.models import Environment
from envkit.evidence import Verdict
from envkit.evidence.collectors import Collector, every
from envkit.inventory.drivers import Drivers
from envkit.watch.folder import latest

SECONDS = 90.0
"""For all of it, at the most."""

LOOK_SECONDS = 8.0

UP_SECONDS, CANCELLED_SECONDS = 20.0, 3.0
"""For the evidence of an `up` that failed, and of one that was cancelled: CI kills ten seconds after its signal."""


def of_up() -> tuple[Collector, ...]:
    """Return the collectors for an `up` that failed: its error has said what works, so nothing is asked again."""
    return tuple(one for one in every() if not one.repeats)


@dataclass(frozen=True)
class Gathered:
    """Where the evidence is, and what it says first."""

    path: Path
    verdict: Verdict


def gather(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    control: Control,
    *,
    into: Path | None = None,
    archive: bool = False,
    error: EnvkitError | None = None,
) -> Gathered:
    """Gather everything there is. A last run that succeeded is kept, but not judged: what is asked about is now."""
    run = latest(paths)
    failed = run if run and run.read_facts().get("code") != 0 else None
    control.stream.note("gathering evidence")
    found = evidence.examine(
        environment,
        paths,
        drivers,
        failed.path if failed else None,
        seconds=LOOK_SECONDS,
        error=error,
    )
    verdict = evidence.judge(found)
    path = evidence.collect(
        environment,
        paths,
        drivers,
        run.path if run else None,
        seconds=SECONDS,
        into=into,
        findings=found,
        verdict=verdict,
        archive=archive,
    )
    return Gathered(path, verdict)


def of_failed_up(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    control: Control,
    error: BaseException,
    into: Path | None = None,
) -> Gathered | None:
    """Evidence of an `up` that failed, gathered before anything is taken down; its path is left in the error."""
    known = error if isinstance(error, EnvkitError) else None
    seconds = CANCELLED_SECONDS if control.cancel.signum else UP_SECONDS
    found = evidence.examine(
        environment,
        paths,
        drivers,
        None,
        seconds=seconds / 4,
        error=known,
        signum=control.cancel.signum,
    )
    verdict = evidence.judge(found)
    try:
        path = evidence.collect(
            environment,
            paths,
            drivers,
            None,
            seconds=seconds,
            into=into,
            findings=found,
            verdict=verdict,
            collectors=of_up(),
        )
    except EnvkitError as trouble:
        control.stream.note(f"no evidence: {trouble.message}")
        return None
    if known:
        known.evidence = str(path)
    return Gathered(path, verdict)
