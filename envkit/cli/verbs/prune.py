"""The command `prune`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from envkit.base.errors import FAILED, UsageError
from envkit.base.paths import state_home
from envkit.cli.context import at_work
from envkit.cli.flags import Flags
from envkit.cli.output import confirmed, out
from envkit.cli.verb import MACHINE, Verb
from envkit.config.request import refuse_blank

if TYPE_CHECKING:
    from envkit.operations.list import Machine
    from envkit.operations.prune import Doomed


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


VERB = Verb(
    prune,
    MACHINE,
    (
        ("prune", "show what may go, then ask"),
        ("prune --yes", "a nightly job's"),
        ("prune second --yes", "that one, if it may go"),
    ),
    words="environment",
    usage="[ENVIRONMENT...]",
    help={
        "environment": "an environment's name; repeatable, or as plain words after the command",
    },
)
