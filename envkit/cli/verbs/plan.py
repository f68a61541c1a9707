"""The command `plan`."""

from __future__ import annotations

from collections.abc import Sequence

from envkit.cli.context import opened
from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import LOOK, Verb


def plan(flags: Flags, service: Sequence[str], build: bool = False) -> None:
    """Show what `up` would do, and why. Changes nothing."""
    from envkit.cli import show
    from envkit.operations.up import make_plan

    with opened(flags) as target:
        steps, _, _ = make_plan(target.environment, target.paths, target.drivers, target.control.cancel, service, build)
        if target.environment.offset_auto:
            target.control.stream.note(f"port offset {target.environment.port_offset} (chosen)")
    show.plan(steps, flags, out)


VERB = Verb(
    plan,
    LOOK,
    (
        ("plan", "every step, with its reason"),
        ("plan redis --json", "the steps for one service, as JSON"),
    ),
    words="service",
    usage="[SERVICE...]",
)
