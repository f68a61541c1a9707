"""The command `env`."""

from __future__ import annotations

import json
import sys

from envkit.base.errors import EnvkitError, UsageError
from envkit.cli.flags import Flags
from envkit.cli.output import out
from envkit.cli.terminal import whole_letters
from envkit.cli.verb import USE, Verb


def env(flags: Flags, format: str = "shell") -> None:
    """Print the variables of an environment that is up: `eval "$(./dev env)"`."""
    from envkit.inventory.export import formats, render
    from envkit.operations.env import read

    form = "json" if flags.json else format
    whole_letters()
    if form not in formats():
        raise UsageError(f"--format is one of {', '.join(formats())}, got {form!r}")
    try:
        record = read(flags.paths(), flags.command("up"), flags.environ)
    except EnvkitError:
        if form == "shell" and not sys.stdout.isatty():
            out("false\n")  # `eval` of an empty text would succeed
        raise
    out(render(record.variables, form))
    if record.selected:
        _note(flags, f"environment {record.name} is {record.standing}: {', '.join(record.selected)}")


def _note(flags: Flags, text: str) -> None:
    """Print a note for the user to standard error."""
    sys.stderr.write(json.dumps({"event": "note", "message": text}) + "\n" if flags.json else f"note: {text}\n")


VERB = Verb(
    env,
    USE,
    (
        ("env", 'for a shell: eval "$(envkit env)"'),
        ("env --format dotenv", "for a file"),
    ),
    help={
        "format": "dotenv, shell or json",
    },
)
