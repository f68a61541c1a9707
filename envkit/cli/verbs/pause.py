"""The command `pause`."""

from __future__ import annotations

from envkit.cli.context import opened
from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import USE, Verb


def pause(flags: Flags) -> None:
    """Pause the environment: it keeps its memory and uses no processor time. `up` resumes it within a second."""
    from envkit.cli.show import paused
    from envkit.operations.pause import pause as hold

    with opened(flags) as target:
        held = hold(target.environment, target.paths, target.drivers, target.control, target.up_command)
    paused(target.environment.name, held, flags, out)


VERB = Verb(
    pause,
    USE,
    (("pause", "`up` resumes it"),),
)
