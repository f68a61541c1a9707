"""The command `prune`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from envkit.base.errors import FAILED, UsageError
from envkit.base.paths import state_home
from envkit.cli.context import opened_machine
from envkit.cli.flags import Flags
from envkit.cli.output import confirmed, out
from envkit.cli.verb import MACHINE, Verb
from envkit.config.request import reject_blank

if TYPE_CHECKING:
    from envkit.operations.list import Machine
    from envkit.operations.prune import PruneTarget


def prune(flags: Flags, environment: Sequence[str], yes: bool = False) -> int:
    """Remove environments that are expired (`up --ttl`) or orphaned, after showing them; those in use stay."""
    from envkit.cli import inventory
    from envkit.operations import prune as pruning
    from envkit.operations.list import find_environments

    home = state_home(dict(flags.environ))
    with opened_machine(flags) as (stream, cancel, environ):
        machine = find_environments(home, environ)
        _check_names(machine, environment)
        doomed = _chosen(machine, environment)
        if flags.json and not yes:
            inventory.prune_targets(doomed, machine, flags, out)
            return 0
        if not flags.json:
            inventory.prune_targets(doomed, machine, flags, out)
        if doomed and not confirmed("remove them?", yes):
            return 0
        shown = {one.found.name: one.reason for one in doomed}
        still = [one for one in _chosen(find_environments(home, environ), environment) if one.found.name in shown]
        done = pruning.prune(still, home, environ, stream, cancel)
    inventory.pruned(done, flags, out)
    return FAILED if any(one.problem for one in done) else 0


def _chosen(machine: Machine, names: Sequence[str]) -> list[PruneTarget]:
    from envkit.operations.prune import choose

    return [one for one in choose(machine.environments) if not names or one.found.name in names]


def _check_names(machine: Machine, names: Sequence[str]) -> None:
    for name in names:
        reject_blank("the name of an environment", name)
    known = [found.name for found in machine.environments]
    missing = [name for name in names if name not in known]
    if missing:
        there = f"there are: {', '.join(known)}" if known else "there is none"
        raise UsageError(f"no environment named {', '.join(missing)} on this machine", hint=there)


VERB = Verb(
    prune,
    MACHINE,
    (
        ("prune", "show what can be removed, then ask"),
        ("prune --yes", "remove it without asking, in a nightly job"),
        ("prune second --yes", "remove only `second`, if it is expired or orphaned"),
    ),
    words="environment",
    usage="[ENVIRONMENT...]",
    help={
        "environment": "name of an environment; repeatable, or as plain words after the command",
    },
)
