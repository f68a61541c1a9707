"""The command `timeline`."""

from __future__ import annotations

from envkit.base.errors import NotUp
from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import LOOK, Verb


def timeline(flags: Flags) -> None:
    """Show how the last `up` spent its time: a bar for each step, what it waited for, the critical path."""
    from envkit.cli import show

    if not show.timeline(flags, out):
        raise NotUp(
            f"no `up` of environment {flags.paths().name} is on record",
            hint="envkit records each `up` that changes something; --name, --file and --profile choose the environment",
        )


VERB = Verb(
    timeline,
    LOOK,
    (
        ("timeline", "the last `up`"),
        ("timeline --json", "as JSON"),
    ),
)
