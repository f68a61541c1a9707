"""The command `down`."""

from __future__ import annotations

from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import USE, Verb


def down(flags: Flags, force: bool = False, ci: bool = False) -> None:
    """Remove everything of the environment, and nothing else."""
    from envkit.cli import show
    from envkit.cli.ci_job import folded
    from envkit.cli.context import run_down

    with folded(flags, "envkit down", ci=ci) as flags:
        gone = run_down(flags, force)
    show.down(*gone, flags, out)


VERB = Verb(
    down,
    USE,
    (
        ("down", "remove what `up` brought up"),
        ("down --name second", "remove the environment `second`"),
    ),
    help={
        "force": "remove it even if another checkout holds the environment",
    },
)
