"""The command `up`."""

from __future__ import annotations

from collections.abc import Sequence

from envkit.cli.context import opened
from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import USE, Verb


def up(
    flags: Flags, service: Sequence[str], build: bool = False, keep: bool = False, ttl: str | None = None,
    ci: bool = False, artifacts: str | None = None, junit: str | None = None, dotenv: str | None = None,
    timeline: bool = False,
) -> None:  # fmt: skip
    """Bring up the environment, or some services and what they need; keep what is already right."""
    from envkit.cli import show
    from envkit.cli.ci_job import in_job
    from envkit.cli.leasing import lease_of, remove_expired
    from envkit.operations.record import Provenance
    from envkit.operations.up import Options
    from envkit.operations.up import up as bring_up

    in_ci = in_job(flags, "up", "envkit up", ci=ci, artifacts=artifacts, junit=junit, dotenv=dotenv)
    with show.drawn_on_failure(flags, timeline), in_ci as (flags, job):
        leased = lease_of(flags, ttl)
        remove_expired(flags)
        _clear_orphan(flags)
        with opened(flags) as target:
            if job:
                job.opened(target.environment, target.paths, target.drivers, target.control)
            outcome = bring_up(
                target.environment,
                target.paths,
                target.drivers,
                target.control,
                Provenance(target.asked, leased.job, leased.expires),
                target.placement,
                Options(service, build, keep, intent=job),
            )
            if job:
                job.ready(outcome.environment, outcome.record)
    show.up(outcome, flags, out, timeline=timeline)


def _clear_orphan(flags: Flags) -> None:
    """Remove the environment of a killed run. If there was no run, skip the slow import."""
    if flags.paths().runs.exists():
        from envkit.cli.running import clear_orphan

        clear_orphan(flags)


VERB = Verb(
    up,
    USE,
    (
        ("up", "everything that the profile declares"),
        ("up redis postgres --timeline", "two services and what they need, then the timeline"),
        ("up --name second --port-offset 100 --ttl 8h", "a second environment, which expires after 8 hours"),
        ("up --ci --artifacts out --junit envkit.xml", "in CI: evidence of a failure, a report of the steps"),
    ),
    words="service",
    usage="[SERVICE...]",
    help={
        "dotenv": "file for the variables as a dotenv report of GitLab, without secrets",
        "timeline": "also show the timeline: a bar for each step, what it waited for, the critical path",
    },
    placeholders={"dotenv": "FILE"},
)
