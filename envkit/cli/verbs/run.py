"""The command `run`."""

from __future__ import annotations

import sys
from pathlib import Path

from envkit.base.errors import EnvironmentFailed, NotUp, UsageError
from envkit.cli.flags import Flags, program
from envkit.cli.options import verbatim
from envkit.cli.verb import USE, Verb


def run(
    flags: Flags, keep: bool = False, repeat: str = "1", artifacts: str | None = None, ci: bool = False,
    junit: str | None = None, replace: bool = False, ttl: str | None = None,
) -> int:  # fmt: skip
    """Run a command in the environment: `run -- COMMAND`. If it brings the environment up, it also takes it down."""
    argv = verbatim(sys.argv)
    if not argv:
        raise UsageError(
            "run needs a command after --", hint=f"for example: {program()} run -- pytest tests/integration"
        )
    import shutil

    if not shutil.which(argv[0], path=flags.environ.get("PATH")):
        raise UsageError(f"cannot run {argv[0]}: it is not on PATH, or not executable", hint="nothing was brought up")
    if not repeat.isdecimal() or not int(repeat):
        raise UsageError(f"--repeat takes a number of runs, got {repeat!r}", hint="for example: --repeat 3")
    from envkit.cli.ci_job import in_job
    from envkit.cli.leasing import lease_of, remove_expired
    from envkit.cli.run_gate import ENVIRONMENT_FAILED
    from envkit.cli.running import RunOptions
    from envkit.cli.running import run as run_it

    try:
        with in_job(flags, "run", ci=ci, artifacts=artifacts, junit=junit) as (flags, job):
            into = Path(artifacts).absolute() if artifacts else None
            leased = lease_of(flags, ttl)
            remove_expired(flags)
            return run_it(RunOptions(flags, tuple(argv), keep, int(repeat), into, replace, job, leased))
    except (EnvironmentFailed, NotUp) as error:
        error.exit_code = ENVIRONMENT_FAILED
        raise


VERB = Verb(
    run,
    USE,
    (
        ("run -- pytest tests/integration", "up, the tests, down; exits with the code of the tests"),
        ("run --repeat 3 -- go test -count=1 ./...", "a gate: three clean runs in a row"),
        ("run --keep -- make test", "keep the environment afterwards"),
        ("run --ci --artifacts out -- make test", "in CI: grouped, masked, with a verdict and a summary"),
    ),
    usage="-- COMMAND",
    help={
        "repeat": "run the command N times, with a reset in between; stop at the first run that is not clean",
        "replace": "also replace services with data if their configuration differs; their data is lost",
    },
    placeholders={"repeat": "N"},
)
