"""The command `reset`."""

from __future__ import annotations

import time

from envkit.cli.context import opened
from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import USE, Verb


def reset(flags: Flags) -> None:
    """Undo what tests changed: drain queues, flush Redis, restore the migrated database, delete test namespaces.

    It requests the deletion of namespaces and does not wait for its end.
    """
    from envkit.cli import show
    from envkit.operations.reset import reset as put_back

    began = time.monotonic()
    with opened(flags) as target:
        parts = put_back(target.environment, target.paths, target.drivers, target.control, target.up_command)
    show.reset(parts, time.monotonic() - began, flags, out)


VERB = Verb(
    reset,
    USE,
    (("reset", "between two suites, without a restart"),),
)
