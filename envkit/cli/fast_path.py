"""The entry point. It parses plain command lines itself, because the import of invoke alone takes too long for `env`.

Invoke parses all other command lines: help, lists, faulty ones, tasks of another repository. Both parsers accept the
same options.
"""

from __future__ import annotations

import gc
import inspect
import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn

from envkit.base.installed import warn_of_other
from envkit.cli.options import COMMANDS, COMMON, REPEATED, SHORT, carried_out, normalize_argv
from envkit.cli.terminal import forgiving

NEW_OBJECTS = 200_000
"""Objects between two garbage collections; Python's default is 700. Imports make many objects that stay: an `up` with
nothing to do makes 60,000, and each collection over 20,000 objects took 15 ms of its 600 ms."""

ASKED = "__complete"
"""The command with which a shell's script asks for completions; see `completion_words`."""

Command = Callable[..., int | None]
_LONG = {f"-{letter}": f"--{name}" for name, letter in SHORT.items()}


def parse_plain(argv: Sequence[str], commands: Mapping[str, Command]) -> tuple[Command, dict[str, Any]] | None:
    """Return the command and all of its options, or None if invoke must parse the words."""
    argv = normalize_argv(argv)
    words = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
    flags = {name for name, default in COMMON.items() if isinstance(default, bool)}
    chosen: Command | None = None
    given: list[tuple[str, Any]] = []
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            if chosen is None:
                if word not in commands:
                    return None
                chosen = commands[word]
                own = inspect.signature(chosen).parameters.values()
                flags |= {it.name for it in own if isinstance(it.default, bool)}
            else:
                given.append(("service", word))
            continue
        option = _option(word, words, flags)
        if option is None or (chosen is None and option[0] not in COMMON):
            return None
        given.append(option)
    return (chosen, options) if chosen and (options := _options(chosen, given)) is not None else None


def _option(word: str, words: list[str], flags: Collection[str]) -> tuple[str, Any] | None:
    """Return the name and the value of `--name value`, `--name=value`, `-n value` or `--flag`; None for other forms.

    A separate value is removed from `words`.
    """
    option, equals, value = word.partition("=")
    name = _LONG.get(option, option)
    if not name.startswith("--") or (equals and option in _LONG) or "_" in name:
        return None
    name = name[2:].replace("-", "_")
    if name in flags:
        return None if equals else (name, True)
    if not equals:
        value = words.pop(0) if words else ""
    return (name, value) if value and not value.startswith("-") else None


def _options(chosen: Command, given: list[tuple[str, Any]]) -> dict[str, Any] | None:
    """Return every option of the command, or None if the user gave an unknown option or a single option twice."""
    own = list(inspect.signature(chosen).parameters.values())[1:]
    found: dict[str, Any] = {it.name: [] if it.name in REPEATED else it.default for it in own}
    found |= {name: [] if name in REPEATED else default for name, default in COMMON.items()}
    said = set()
    for name, value in given:
        known = name in found and (name not in said or name in REPEATED)
        if not known or isinstance(value, bool) != isinstance(found[name], bool):
            return None
        said.add(name)
        found[name] = [*found[name], value] if name in REPEATED else value
    return found


def try_fast_path(argv: Sequence[str], own: Mapping[str, Sequence[str]] | None = None) -> None:
    """Carry out a plain command line and exit; return if invoke must parse it.

    `own` maps the names of a repository's own tasks to their options. The shell completes these options too.
    """
    gc.set_threshold(NEW_OBJECTS)
    forgiving()
    if argv[1:2] == [ASKED]:
        from envkit.cli.completion_words import complete

        raise SystemExit(complete(argv[2:], own or {}))
    warn_of_other()
    found = parse_plain(argv, COMMANDS)
    if found is not None:
        _carry_out(*found)


def _carry_out(function: Command, options: dict[str, Any]) -> NoReturn:
    from envkit.cli.reporting import BROKEN_PIPE, exit_code_of

    code = exit_code_of(lambda: carried_out(function, options), bool(options["debug"]), bool(options["json"]))
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    gc.freeze()  # otherwise the last garbage collection scans all imports: 0.1 s
    raise SystemExit(code)


def main() -> None:
    """Run the `envkit` command. Ctrl-C during the imports ends it at once, without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try_fast_path(sys.argv)
    from envkit.cli.main import run
    from envkit.cli.tasks import namespace

    run(namespace)
