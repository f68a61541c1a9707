"""`gather`: collect evidence of the last run and of the present state. This also works if no engine answers."""

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
"""Longest time in seconds for collecting all evidence."""

LOOK_SECONDS = 8.0
"""Longest time in seconds for examining the environment before collecting."""

UP_SECONDS, CANCELLED_SECONDS = 20.0, 3.0
"""Longest time in seconds for the evidence of an `up` that failed, and of one that was cancelled.

CI kills a cancelled job ten seconds after the signal that cancels it.
"""


def of_up() -> tuple[Collector, ...]:
    """Return the collectors for an `up` that failed, without those that would repeat checks of the `up` itself."""
    return tuple(one for one in every() if not one.repeats)


@dataclass(frozen=True)
class Gathered:
    """The path of the evidence, and the verdict on it."""

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
    """Collect all evidence, judge it, and return its path and the verdict.

    The evidence includes the last run. If the last run succeeded, the verdict describes only the present state.
    """
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
    """Collect the evidence of an `up` that failed, before anything is removed; set the evidence's path in the error.

    Returns None if collecting fails.
    """
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
        control.stream.note(f"evidence could not be collected: {trouble.message}")
        return None
    if known:
        known.evidence = str(path)
    return Gathered(path, verdict)
