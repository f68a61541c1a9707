"""The command `init`."""

from __future__ import annotations

from pathlib import Path

from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import BEGIN, Verb


def init(flags: Flags) -> None:
    """Write a starter configuration here, from what can be seen (compose file, go.mod ...); overwrites nothing."""
    from envkit.cli.inventory import written
    from envkit.operations.init import init as start

    written(start(Path.cwd(), flags.name), flags, out)


VERB = Verb(
    init,
    BEGIN,
    (
        ("init", "envkit.yaml and tasks.py"),
        ("init --name shop", "under another name than the folder's"),
    ),
)
