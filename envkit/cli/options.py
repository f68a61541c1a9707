"""The common options, and the commands as plain functions. This module does not import invoke."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from envkit.base.errors import UsageError
from envkit.cli.flags import Flags
from envkit.cli.verb import Commands

COMMANDS = Commands()
"""Maps each command's name to `function(flags, **own options)`, in the order of the help."""

COMMON: dict[str, Any] = {
    "file": None,
    "profile": None,
    "overlay": None,
    "name": None,
    "engine": None,
    "lane": None,
    "port_offset": None,
    "set": None,
    "json": False,
    "debug": False,
}
"""Options of every command, with their defaults."""

AUTO = "auto"

REPEATED = ("overlay", "set", "service", "environment", "action", "image")

SHORT = {"file": "f", "profile": "p", "overlay": "o", "name": "n", "engine": "e", "set": "s"}


def option_named(word: str) -> str:
    """Return the Python name of an option as typed, such as `port_offset`, or an empty string for a plain word."""
    letters = {f"-{letter}": name for name, letter in SHORT.items()}
    return letters.get(word, word[2:].replace("-", "_") if word.startswith("--") else "")


def option_defaults(commands: Mapping[str, Callable[..., int | None]] = COMMANDS) -> dict[str, Any]:
    """Return the options of all commands by name, with their defaults. An option with a bool default takes no value."""
    parameters = (it for verb in commands.values() for it in list(inspect.signature(verb).parameters.values())[1:])
    return {it.name: it.default for it in parameters} | COMMON


def takes_next(word: str, known: Mapping[str, Any]) -> bool:
    """Return whether a typed word is an option that takes the next word as its value. `known` has all options."""
    option = option_named(word)
    return option in known and not isinstance(known[option], bool)


def flags_of(
    *, set: Iterable[str] | None, overlay: Iterable[str] | None, port_offset: str | None, **rest: Any
) -> Flags:
    """Return the common options as `Flags`.

    Raises `UsageError` if an option that selects the environment is blank, or if the port offset is faulty.
    """
    from envkit.config.request import CHOOSING, reject_blank

    for key, (option, _) in CHOOSING.items():
        reject_blank(option, rest.get(key))
    offset: int | str | None = port_offset
    if port_offset is not None and port_offset != AUTO:
        if not str(port_offset).isdecimal():
            raise UsageError(
                f"--port-offset takes a whole number or {AUTO}, got {port_offset!r}",
                hint=f"for example --port-offset 100, or --port-offset {AUTO} for one with which all ports are free",
            )
        offset = int(port_offset)
    return Flags(sets=tuple(set or ()), overlay=tuple(overlay or ()), port_offset=offset, **rest)


def carried_out(function: Callable[..., int | None], given: dict[str, Any]) -> int | None:
    """Call a command with all of its options, including the common ones, and return its exit code."""
    common = {name: given.pop(name, default) for name, default in COMMON.items()}
    return function(flags_of(**common), **given)


def normalize_argv(argv: Sequence[str]) -> list[str]:
    """Return the words with `-f` of `logs` replaced by `--follow`, unless a file name follows.

    Before a file name `-f` means `--file`, as in every command of envkit. In other places it means `--follow`, as in
    the `logs` commands of other programs.
    """
    words = list(argv)
    end = words.index("--") if "--" in words else len(words)
    if "logs" not in words[:end]:
        return words
    for place in range(words.index("logs"), end):
        after = words[place + 1] if place + 1 < end else ""
        if words[place] == "-f" and not ("/" in after or after.endswith((".yaml", ".yml"))):
            words[place] = "--follow"
    return words


def verbatim(argv: Sequence[str]) -> list[str]:
    """Return the words after the first `--` unchanged, because invoke would join them with spaces."""
    return list(argv[argv.index("--") + 1 :]) if "--" in argv else []
