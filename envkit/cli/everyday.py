"""Tasks of every day that are not about one environment's life: what there is on this machine, and what may go."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.errors import FAILED, NotUp, UsageError
from envkit.base.paths import state_home
from envkit.cli.context import Flags, at_work, opened
from envkit.cli.options import command
from envkit.cli.output import confirmed, out
from envkit.config.request import refuse_blank

if TYPE_CHECKING:
    from envkit.operations.list import Machine
    from envkit.operations.prune import Doomed


@command
def list_(flags: Flags) -> None:
    """Show every environment of this machine: state, where it runs, who holds it, when its time is over."""
    from envkit.cli import inventory
    from envkit.operations.list import survey

    with at_work(flags) as (_, _, environ):
        found = survey(state_home(dict(flags.environ)), environ)
    inventory.environments(found, flags, out)


@command
def prune(flags: Flags, environment: Sequence[str], yes: bool = False) -> int:
    """Take away what is expired (`up --ttl`) or orphaned, after showing it; what is in use stays."""
    from envkit.cli import inventory
    from envkit.operations import prune as pruning
    from envkit.operations.list import survey

    home = state_home(dict(flags.environ))
    with at_work(flags) as (stream, cancel, environ):
        machine = survey(home, environ)
        _check_names(machine, environment)
        doomed = _chosen(machine, environment)
        if flags.json and not yes:
            inventory.doomed(doomed, machine, flags, out)
            return 0
        if not flags.json:
            inventory.doomed(doomed, machine, flags, out)
        if doomed and not confirmed("take them away?", yes):
            return 0
        shown = {one.found.name: one.reason for one in doomed}
        still = [one for one in _chosen(survey(home, environ), environment) if one.found.name in shown]
        done = pruning.prune(still, home, environ, stream, cancel)
    inventory.pruned(done, flags, out)
    return FAILED if any(one.problem for one in done) else 0


def _chosen(machine: Machine, names: Sequence[str]) -> list[Doomed]:
    from envkit.operations.prune import choose

    return [one for one in choose(machine.environments) if not names or one.found.name in names]


def _check_names(machine: Machine, names: Sequence[str]) -> None:
    for name in names:
        refuse_blank("the name of an environment", name)
    known = [found.name for found in machine.environments]
    missing = [name for name in names if name not in known]
    if missing:
        there = f"there are: {', '.join(known)}" if known else "there is none"
        raise UsageError(f"no environment named {', '.join(missing)} on this machine", hint=there)


@command
def shell(flags: Flags, service: Sequence[str]) -> int:
    """Go into a service: psql, redis-cli or a shell there; `cluster` is a shell for kubectl. `-- COMMAND` runs that."""
    from envkit.cli.options import verbatim
    from envkit.operations.run import child
    from envkit.operations.shell import entry

    if len(service) != 1:
        raise UsageError("shell takes one service, and a command after --", hint="for example: shell postgres")
    with opened(flags) as session:
        tty = sys.stdin.isatty() and sys.stdout.isatty()
        way = entry(session, service[0], verbatim(sys.argv), tty=tty)
        if way.note:
            session.stream.note(way.note)
        return child(way.argv, flags.environ, way.variables).code


@command
def timeline(flags: Flags) -> None:
    """Show where the time of the last `up` went: a bar for each step, who waited for whom, the critical path."""
    from envkit.cli import show

    if not show.timeline(flags, out):
        raise NotUp(
            f"no `up` of environment {flags.paths().name} is on record",
            hint="each `up` that changes something is; its name, file and profile choose which",
        )


@command
def pause(flags: Flags) -> None:
    """Hold the environment where it is: no processor time, memory stays. `up` lets it go on within a second."""
    from envkit.cli.show import paused
    from envkit.operations.pause import pause as hold

    with opened(flags) as session:
        held = hold(session)
    paused(session.environment.name, held, flags, out)


@command
def init(flags: Flags) -> None:
    """Write a starter configuration here, from what can be seen (compose file, go.mod ...); overwrites nothing."""
    from envkit.cli.inventory import written
    from envkit.operations.init import init as start

    written(start(Path.cwd(), flags.name), flags, out)
