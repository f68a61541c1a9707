"""The command `init`."""

from __future__ import annotations

from pathlib import Path

from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import BEGIN, Verb


def init(flags: Flags) -> None:
    """Write a starter configuration for this folder, based on its files (compose file, go.mod ...).

    It overwrites nothing.
    """
    from envkit.cli.inventory import written
    from envkit.operations.init import init as start

    written(start(Path.cwd(), flags.name), flags, out)


VERB = Verb(
    init,
    BEGIN,
    (
        ("init", "envkit.yaml and tasks.py"),
        ("init --name shop", "with another name than the folder's name"),
    ),
)
