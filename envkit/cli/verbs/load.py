"""The command `load`."""

from __future__ import annotations

from collections.abc import Sequence

from envkit.base.errors import UsageError
from envkit.cli.context import opened
from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.verb import MACHINE, Verb


def load(flags: Flags, image: Sequence[str]) -> None:
    """Load images of this engine into the running cluster: `load shop/api:dev`. Present images stay."""
    from envkit.cli import image_tables as tables
    from envkit.operations.load import load as bring

    if not image:
        raise UsageError("load needs the name of an image", hint="for example: load shop/api:dev")
    with opened(flags) as target:
        tables.brought(bring(target.environment, target.drivers, target.control, target.up_command, image), flags, out)


VERB = Verb(
    load,
    MACHINE,
    (("load shop/api:dev shop/web:dev", "from this engine into the running cluster"),),
    words="image",
    usage="IMAGE...",
    help={
        "image": "name of an image; repeatable, or as plain words after the command",
    },
)
