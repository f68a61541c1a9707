"""Runs the tasks as the program `envkit`, and accepts options and words in any order."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from invoke.collection import Collection
from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from envkit.base.errors import USAGE
from envkit.cli import helptext
from envkit.cli.command import HELP, EnvkitTask
from envkit.cli.flags import program
from envkit.cli.options import COMMANDS, normalize_argv, option_defaults, option_named, takes_next
from envkit.cli.reporting import BROKEN_PIPE
from envkit.cli.terminal import edge
from envkit.cli.verb import verb
from envkit.version import __version__

HELP_COLUMNS = 100
"""Width in columns of a help text that does not go to a terminal."""


class EnvkitProgram(Program):
    """Invoke's program with envkit's help texts and exit codes. Python keeps writing byte code."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the core options, and let Python write byte code; otherwise every command would compile its imports."""
        super().parse_core(argv)
        sys.dont_write_bytecode = False

    def parse_tasks(self) -> None:
        """Parse the tasks. On a faulty command line exit with 2, and suggest the nearest command or option."""
        try:
            super().parse_tasks()
        except ParseError as error:
            raise Exit(self._explain(error), code=USAGE) from error

    def print_help(self) -> None:
        """Print envkit's help. Most options of invoke have no effect in envkit; `-e`, `-f`, `-p` mean other things."""
        tasks = {name: task.__doc__ or "" for name, task in self.collection.tasks.items()}
        sys.stdout.write(helptext.overview(program(), tasks, edge(os.environ) or HELP_COLUMNS))

    def list_tasks(self) -> None:
        """Print the same as `--help`."""
        self.print_help()

    def print_task_help(self, name: str) -> None:
        """Print envkit's help with examples, or invoke's help for a repository's own task."""
        if isinstance(self.collection[name], EnvkitTask):
            sys.stdout.write(helptext.of_command(program(), name, HELP, edge(os.environ) or HELP_COLUMNS))
        else:
            super().print_task_help(name)

    def _explain(self, error: ParseError) -> str:
        unknown = self.core.unparsed[0] if self.core.unparsed else ""
        names = sorted(self.collection.task_names)
        near = difflib.get_close_matches(unknown, names, 1)
        if unknown not in names and near:
            return f"error: there is no command {unknown!r}\nnext: did you mean {near[0]!r}?"
        lacking = re.match(r"Flag <Argument: (\w+)", str(error))
        said = f"--{lacking[1].replace('_', '-')} needs a value" if lacking else _unknown(str(error), error.context)
        return f"error: {said}\nnext: `--help` after the command shows its options; `--list` shows the commands"


def _unknown(said: str, context: Any) -> str:
    """Return invoke's message. Replace "No idea what 'x' is!" by a text that calls x an option, argument or command."""
    found = re.match(r"No idea what '(.*)' is!", said)
    if not found:
        return said
    word, command = found[1], getattr(context, "name", None)
    if word.startswith("-"):
        near = difflib.get_close_matches(word, list(context.flags) if context else (), 1)
        return f"there is no option {word}" + (f"; did you mean {near[0]}?" if near else "")
    if command == "run":
        return f"run takes its command after --, as in `run -- {word}`"
    return f"{command} takes no argument {word!r}" if command else f"there is no command {word!r}"


def reorder_argv(argv: Sequence[str]) -> list[str]:
    """Return the words in invoke's order: options after the command, services as `--service`, nothing after `--`."""
    argv = show_help(normalize_argv(argv))
    words = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
    front: list[str] = []
    known = option_defaults()
    while words and option_named(words[0].partition("=")[0]) in known:
        count = 2 if takes_next(words[0], known) and len(words) > 1 else 1
        front, words = front + words[:count], words[count:]
    if words and words[0].startswith("-"):
        return [argv[0], *words]
    if not words:
        return [argv[0], *(front or ["--list"])]
    command, rest = words[0], words[1:]
    words_of = verb(command).words if command in COMMANDS else ""
    return [argv[0], command, *front, *(_services(rest, f"--{words_of}") if words_of else rest)]


def show_help(argv: list[str]) -> list[str]:
    """Return the words with `help` replaced by `--help`, and `help up` by `up --help`."""
    if len(argv) < 2 or argv[1] != "help":
        return argv
    return [argv[0], *argv[2:3], "--help"]


def _services(words: Sequence[str], option: str = "--service") -> list[str]:
    found: list[str] = []
    expect_value = False
    known = option_defaults()
    for word in words:
        plain = not expect_value and not word.startswith("-")
        found += [option, word] if plain else [word]
        expect_value = not expect_value and takes_next(word, known)
    return found


def run(namespace: Collection, argv: Sequence[str] | None = None) -> None:
    """Run a collection of tasks as a program. `argv` begins with the program's name."""
    program = EnvkitProgram(version=__version__, namespace=namespace, name="envkit", binary="envkit")
    try:
        try:
            program.run(reorder_argv(argv or sys.argv))
        finally:  # also if the program raises its exit code
            sys.stdout.flush()
    except BrokenPipeError:  # `--list | head`: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE) from None
