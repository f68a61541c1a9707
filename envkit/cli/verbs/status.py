"""The command `status`."""

from __future__ import annotations

from envkit.base.errors import NOT_UP
from envkit.cli.context import opened
from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import LOOK, Verb

WATCH_SECONDS = 2.0
"""Seconds between two outputs of `status --watch`."""


def status(flags: Flags, watch: bool = False) -> int:
    """Show each service: state, health, address, age, memory, processor time. Exits with 4 if not up.

    "Up in part" counts as up: all services that `up SERVICE...` named work. With `--watch` it repeats until Ctrl-C.
    """
    from envkit.cli import show
    from envkit.operations.status import looks
    from envkit.operations.status import status as look

    with opened(flags) as target:
        if watch:
            for found in looks(target.environment, target.paths, target.drivers, target.control.cancel, WATCH_SECONDS):
                show.look(found, flags, out)
        found = look(target.environment, target.paths, target.drivers, target.control.cancel)
    show.status(found, flags, out)
    return 0 if found.up else NOT_UP


VERB = Verb(
    status,
    LOOK,
    (
        ("status", "show it once; exits with 4 if not up"),
        ("status --watch", "repeat every two seconds"),
        ("status --json", "as JSON"),
    ),
    help={
        "watch": "repeat every two seconds, until Ctrl-C",
    },
)
