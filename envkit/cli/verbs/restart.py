"""The command `restart`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from envkit.base.errors import UsageError
from envkit.cli.context import opened
from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import USE, Verb


def restart(flags: Flags, service: Sequence[str]) -> None:
    """Restart services, keep their data, and wait until they work again."""
    from envkit.operations.services import restart as again

    if not service:
        raise UsageError("restart needs the name of a service", hint="for example: restart redis")
    with opened(flags) as target:
        again(
            target.environment,
            target.paths,
            target.drivers,
            target.control,
            target.up_command,
            service,
        )
    if flags.json:
        out(json.dumps({"name": flags.paths().name, "restarted": list(service)}, indent=2) + "\n")


VERB = Verb(
    restart,
    USE,
    (("restart redis", "keep its data, and wait until its probe passes"),),
    words="service",
    usage="SERVICE...",
)
