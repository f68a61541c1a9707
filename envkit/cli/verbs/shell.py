"""The command `shell`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from envkit.base.errors import UsageError
from envkit.cli.context import opened
from envkit.cli.flags import Flags
from envkit.cli.verb import USE, Verb


def shell(flags: Flags, service: Sequence[str]) -> int:
    """Open psql, redis-cli or a shell in a service, or for `cluster` a shell with kubectl. `-- COMMAND` runs that."""
    from envkit.cli.options import verbatim
    from envkit.operations.run import child
    from envkit.operations.shell import entry

    if len(service) != 1:
        raise UsageError("shell takes one service, and a command after --", hint="for example: shell postgres")
    with opened(flags) as target:
        tty = sys.stdin.isatty() and sys.stdout.isatty()
        way = entry(
            target.environment,
            target.paths,
            target.drivers,
            target.control.cancel,
            target.caller.environ,
            target.up_command,
            service[0],
            verbatim(sys.argv),
            tty=tty,
        )
        if way.note:
            target.control.stream.note(way.note)
        return child(way.argv, flags.environ, way.variables).code


VERB = Verb(
    shell,
    USE,
    (
        ("shell postgres", "psql, as the configured user"),
        ("shell redis -- redis-cli INFO memory", "run one command"),
        ("shell cluster", "a shell in which kubectl uses this cluster"),
    ),
    words="service",
    usage="SERVICE [-- COMMAND]",
)
