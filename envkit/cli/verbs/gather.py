"""The command `gather`."""

from __future__ import annotations

from pathlib import Path

from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import LOOK, Verb


def gather(flags: Flags, artifacts: str | None = None, archive: bool = False) -> None:
    """Gather evidence of the last run, or of the current state, in one folder; secrets are removed."""
    from envkit.cli import show
    from envkit.cli.context import opened_if_possible
    from envkit.operations.gather import gather as gather_all

    with opened_if_possible(flags) as (target, trouble):
        into = Path(artifacts).absolute() if artifacts else None
        gathered = gather_all(
            target.environment,
            target.paths,
            target.drivers,
            target.control,
            into=into,
            archive=archive,
            error=trouble,
        )
    show.gathered(gathered, flags, out)


VERB = Verb(
    gather,
    LOOK,
    (("gather --artifacts out --archive", "evidence in one file"),),
    help={
        "archive": "write one .tar.gz instead of a folder",
    },
)
