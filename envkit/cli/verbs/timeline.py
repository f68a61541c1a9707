"""The command `timeline`."""

from __future__ import annotations

from envkit.base.errors import NotUp
from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import LOOK, Verb


def timeline(flags: Flags) -> None:
    """Show where the time of the last `up` went: a bar for each step, who waited for whom, the critical path."""
    from envkit.cli import show

    if not show.timeline(flags, out):
        raise NotUp(
            f"no `up` of environment {flags.paths().name} is on record",
            hint="each `up` that changes something is; its name, file and profile choose which",
        )


VERB = Verb(
    timeline,
    LOOK,
    (
        ("timeline", "the last `up`"),
        ("timeline --json", "for a program"),
    ),
)
