"""The command `logs`."""

from __future__ import annotations

from collections.abc import Sequence

from envkit.base.errors import UsageError
from envkit.cli.context import opened
from envkit.cli.flags import Flags
from envkit.cli.output import Prefixed, out
from envkit.cli.verb import LOOK, Verb


def logs(flags: Flags, service: Sequence[str], tail: str | None = None, follow: bool = False) -> None:
    """Print services' logs; with `--follow` (`-f`) also print new lines, until Ctrl-C or until all services end."""
    from envkit.cli import show
    from envkit.operations.follow import follow as as_it_comes
    from envkit.operations.services import logs as write_logs
    from envkit.operations.services import rows

    if tail is not None and not tail.isdecimal():
        raise UsageError(f"--tail takes a number of lines, got {tail!r}")
    with opened(flags) as target:
        last = int(tail) if tail else None
        if follow:
            as_it_comes(
                target.environment,
                target.drivers.runtime,
                target.control,
                target.up_command,
                service,
                last,
                show.log_row if flags.json else Prefixed(out, flags.environ),
            )
        elif flags.json:
            for name, line in rows(target.environment, target.drivers.runtime, target.up_command, service, last):
                show.log_row(name, line)
        else:
            write_logs(
                target.environment,
                target.drivers.runtime,
                target.up_command,
                service,
                last,
                lambda line: out(line + "\n"),
            )


VERB = Verb(
    logs,
    LOOK,
    (
        ("logs -f", "follow all services until Ctrl-C"),
        ("logs redis --tail 100", "the last 100 lines of one service"),
    ),
    words="service",
    usage="[SERVICE...]",
    help={
        "tail": "print only the last N lines of each log",
        "follow": "also print new lines; `-f` does the same unless a file name follows",
    },
    placeholders={"tail": "N"},
)
