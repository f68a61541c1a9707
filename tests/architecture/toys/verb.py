"""A toy command."""

from __future__ import annotations

from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import LOOK, Verb


def greet(flags: Flags, loud: bool = False) -> None:
    """Greet the environment."""
    out(f"hello {flags.paths().name}{'!' if loud else ''}\n")


VERB = Verb(greet, LOOK, (("greet --loud", "with a mark"),), help={"loud": "with a mark"})
