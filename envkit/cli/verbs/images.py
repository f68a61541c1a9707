"""The command `images`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.errors import FAILED, UsageError
from envkit.cli.context import opened
from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import MACHINE, Verb

if TYPE_CHECKING:
    from envkit.base.caller import Caller
    from envkit.base.control import Control
    from envkit.base.paths import Paths
    from envkit.config.models import Environment
    from envkit.inventory.drivers import Drivers

ACTIONS = ("pull", "build", "save", "load")


def images(flags: Flags, action: Sequence[str]) -> int:
    """List the images of the environment; `pull`, `build`, `save` or `load` them.

    `save` writes one archive with all that `up` needs. `load` reads it on a machine without network.
    """
    verb, *words = action or [""]
    if verb and verb not in ACTIONS:
        raise UsageError(f"images has no action {verb!r}", hint=f"use {', '.join(ACTIONS)}, or none to list")
    if verb != "build" and len(words) > (1 if verb in ("save", "load") else 0):
        how = f"images {verb} FILE" if verb in ("save", "load") else f"images {verb}".strip()
        raise UsageError(
            f"images takes no further argument: expected `{how}`, found {words[-1]!r}", hint="see `help images`"
        )
    if verb == "load" and not words:
        raise UsageError("images load needs the archive", hint="for example: images load envkit-gateway.tar")
    with opened(flags) as target:
        return _run_action(
            target.environment, target.paths, target.drivers, target.control, target.caller, verb, words, flags
        )


def _run_action(
    environment: Environment,
    paths: Paths,
    drivers: Drivers,
    control: Control,
    caller: Caller,
    verb: str,
    words: Sequence[str],
    flags: Flags,
) -> int:
    from envkit.cli import image_tables as tables
    from envkit.operations import images as verbs

    if verb in ("pull", "build"):
        done = (
            verbs.pull(environment, paths, drivers, control)
            if verb == "pull"
            else verbs.build(environment, paths, drivers, control, words)
        )
        tables.results(done, flags, out)
        return FAILED if any(one.result == "failed" for one in done) else 0
    if verb == "save":
        from envkit.operations.offline import save

        path = Path(words[0] if words else f"envkit-{environment.name}.tar").absolute()
        tables.saved(save(environment, paths, drivers, control, caller, path), flags, out)
    elif verb == "load":
        from envkit.operations.offline import load as load_archive

        tables.loaded(load_archive(drivers, control, caller, Path(words[0]).absolute()), flags, out)
    else:
        tables.parts(verbs.list_parts(environment, paths, drivers), flags, out)
    return 0


VERB = Verb(
    images,
    MACHINE,
    (
        ("images", "list each image: its services, whether it is present, where it comes from"),
        ("images pull", "pull all missing images in parallel"),
        ("images build datastorage", "build the images of this service again"),
        ("images save all.tar", "save all that `up` needs on a machine without network"),
        ("images load all.tar", "load the archive there, completely or not at all"),
    ),
    words="action",
    usage="[pull|build [SERVICE...]|save [FILE]|load FILE]",
    help={
        "action": "pull, build, save or load, with its arguments; as plain words after the command",
    },
    choices=ACTIONS,
)
