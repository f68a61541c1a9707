"""The tasks. Another repository's `tasks.py` has them all with `from envkit.cli.tasks import namespace`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit.base.errors import NOT_UP, EnvironmentFailed, EnvkitError, NotUp, UsageError
from envkit.cli.context import Flags, opened, program
from envkit.cli.options import COMMANDS, command, verbatim
from envkit.cli.output import Prefixed, out
from envkit.cli.terminal import whole_letters

if TYPE_CHECKING:
    from invoke.collection import Collection

    namespace: Collection
    """Everything, for `ns = namespace`, or `ns.add_collection(namespace, "env")` beside tasks of one's own."""


WATCH_SECONDS = 2.0
"""Between two looks of `status --watch`."""


@command
def up(
    flags: Flags, service: Sequence[str], build: bool = False, keep: bool = False, ttl: str | None = None,
    ci: bool = False, artifacts: str | None = None, junit: str | None = None, dotenv: str | None = None,
    timeline: bool = False,
) -> None:  # fmt: skip
    """Bring the environment up, or some services and what they need; keeps what is right already."""
    from envkit.cli import show
    from envkit.cli.in_ci import in_job
    from envkit.cli.leasing import clear_lapsed, lease_of
    from envkit.operations.up import up as bring_up

    in_ci = in_job(flags, "up", "envkit up", ci=ci, artifacts=artifacts, junit=junit, dotenv=dotenv)
    with show.drawn_on_failure(flags, timeline), in_ci as (flags, job):
        leased = lease_of(flags, ttl)
        clear_lapsed(flags)
        _clear_orphan(flags)
        with opened(flags) as session:
            session.expires, session.job = leased.expires, leased.job
            if job:
                job.opened(session)
            outcome = bring_up(session, service, rebuild=build, keep=keep, intent=job)
            if job:
                job.ready(outcome.record)
    show.up(outcome, flags, out, timeline=timeline)


def _clear_orphan(flags: Flags) -> None:
    """Only where a run has left its folder: what looks closer takes time to import."""
    if flags.paths().runs.exists():
        from envkit.cli.running import clear_orphan

        clear_orphan(flags)


@command
def down(flags: Flags, force: bool = False, ci: bool = False) -> None:
    """Take everything of the environment away; nothing else is touched."""
    from envkit.cli import show
    from envkit.cli.context import opened_down
    from envkit.cli.in_ci import folded

    with folded(flags, "envkit down", ci=ci) as flags:
        gone = opened_down(flags, force)
    show.down(*gone, flags, out)


@command
def plan(flags: Flags, service: Sequence[str], build: bool = False) -> None:
    """Show what `up` would do, and why. Changes nothing."""
    from envkit.cli import show
    from envkit.operations.up import make_plan

    with opened(flags) as session:
        steps, _, _ = make_plan(session, service, build)
        if session.environment.offset_auto:
            session.stream.note(f"port offset {session.environment.port_offset} (chosen)")
    show.plan(steps, flags, out)


@command
def status(flags: Flags, watch: bool = False) -> int:
    """Show each service: state, health, address, age, memory, processor time. Exits with 4 when not up.

    "Up in part" is up: all that `up SERVICE...` was asked for works. With `--watch` it looks again until Ctrl-C.
    """
    from envkit.cli import show
    from envkit.operations.status import looks
    from envkit.operations.status import status as look

    with opened(flags) as session:
        if watch:
            for found in looks(session, WATCH_SECONDS):
                show.look(found, flags, out)
        found = look(session)
    show.status(found, flags, out)
    return 0 if found.up else NOT_UP


@command
def env(flags: Flags, format: str = "shell") -> None:
    """Print the variables of an environment that is up: `eval "$(./dev env)"`."""
    from envkit.inventory.export import formats, render
    from envkit.operations.env import read

    form = "json" if flags.json else format
    whole_letters()
    if form not in formats():
        raise UsageError(f"--format is one of {', '.join(formats())}, got {form!r}")
    try:
        record = read(flags.paths(), flags.command("up"), flags.environ)
    except EnvkitError:
        if form == "shell" and not sys.stdout.isatty():
            out("false\n")  # of nothing at all `eval "$(...)"` would make a success
        raise
    out(render(record.variables, form))
    if record.selected:
        _note(flags, f"environment {record.name} is {record.standing}: {', '.join(record.selected)}")


def _note(flags: Flags, text: str) -> None:
    """A line for the user beside the result, on standard error."""
    sys.stderr.write(json.dumps({"event": "note", "message": text}) + "\n" if flags.json else f"note: {text}\n")


@command
def logs(flags: Flags, service: Sequence[str], tail: str | None = None, follow: bool = False) -> None:
    """Print services' logs; with `--follow` (`-f`) what comes as well, until Ctrl-C or until all have ended."""
    from envkit.cli import show
    from envkit.operations.follow import follow as as_it_comes
    from envkit.operations.services import logs as write_logs
    from envkit.operations.services import rows

    if tail is not None and not tail.isdecimal():
        raise UsageError(f"--tail takes a number of lines, got {tail!r}")
    with opened(flags) as session:
        last = int(tail) if tail else None
        if follow:
            as_it_comes(session, service, last, show.log_row if flags.json else Prefixed(out, flags.environ))
        elif flags.json:
            for name, line in rows(session, service, last):
                show.log_row(name, line)
        else:
            write_logs(session, service, last, lambda line: out(line + "\n"))


@command
def restart(flags: Flags, service: Sequence[str]) -> None:
    """Restart services, data kept, and wait until they work again."""
    from envkit.operations.services import restart as again

    if not service:
        raise UsageError("restart needs the name of a service", hint="for example: restart redis")
    with opened(flags) as session:
        again(session, service)
    if flags.json:
        out(json.dumps({"name": flags.paths().name, "restarted": list(service)}, indent=2) + "\n")


@command
def gather(flags: Flags, artifacts: str | None = None, archive: bool = False) -> None:
    """Gather evidence of the last run, or of how things are now, into one folder; secrets are left out."""
    from envkit.cli import show
    from envkit.cli.context import opened_somehow
    from envkit.operations.gather import gather as gather_all

    with opened_somehow(flags) as (session, trouble):
        into = Path(artifacts).absolute() if artifacts else None
        gathered = gather_all(session, into=into, archive=archive, error=trouble)
    show.gathered(gathered, flags, out)


@command
def reset(flags: Flags) -> None:
    """As if no test had run: queues drained, Redis flushed, database as migrated, test namespaces requested away."""
    from envkit.cli import show
    from envkit.operations.reset import reset as put_back

    began = time.monotonic()
    with opened(flags) as session:
        parts = put_back(session)
    show.reset(parts, time.monotonic() - began, flags, out)


@command
def run(
    flags: Flags, keep: bool = False, repeat: str = "1", artifacts: str | None = None, ci: bool = False,
    junit: str | None = None, replace: bool = False, ttl: str | None = None,
) -> int:  # fmt: skip
    """Run a command in the environment: `run -- COMMAND`. Up if needed; what it brought up it takes down again."""
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
    from envkit.cli.in_ci import in_job
    from envkit.cli.leasing import clear_lapsed, lease_of
    from envkit.cli.running import ENVIRONMENT_FAILED, Wish
    from envkit.cli.running import run as run_it

    try:
        with in_job(flags, "run", ci=ci, artifacts=artifacts, junit=junit) as (flags, job):
            into = Path(artifacts).absolute() if artifacts else None
            leased = lease_of(flags, ttl)
            clear_lapsed(flags)
            return run_it(Wish(flags, tuple(argv), keep, int(repeat), into, replace, job, leased))
    except (EnvironmentFailed, NotUp) as error:
        error.exit_code = ENVIRONMENT_FAILED
        raise


def complete_list() -> None:
    """Register the commands that stand elsewhere, after these."""
    from envkit.cli import completing, doctoring, everyday, imaging  # noqa: F401  they register commands


def __getattr__(name: str) -> Any:
    """`namespace`, made when asked for: importing invoke takes longer than `env` as a whole may."""
    if name != "namespace":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from invoke.collection import Collection

    from envkit.base.installed import warn_of_other
    from envkit.cli.command import command as task

    warn_of_other()
    complete_list()

    made = globals()["namespace"] = Collection(*map(task, COMMANDS.values()))
    return made
