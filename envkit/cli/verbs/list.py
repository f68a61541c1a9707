"""The command `list`."""

from __future__ import annotations

from envkit.base.paths import state_home
from envkit.cli.context import opened_machine
from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import MACHINE, Verb


def list_(flags: Flags) -> None:
    """List the environments of this machine: state, where each runs, which checkout holds it, when it expires."""
    from envkit.cli import inventory
    from envkit.operations.list import find_environments

    with opened_machine(flags) as (_, _, environ):
        found = find_environments(state_home(dict(flags.environ)), environ)
    inventory.environments(found, flags, out)


VERB = Verb(
    list_,
    MACHINE,
    (
        ("list", "all environments of this machine"),
        ("list --json", "as JSON"),
    ),
)
