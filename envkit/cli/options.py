"""Options that every command has, and the commands as plain functions: known without importing invoke."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from envkit.base.errors import UsageError
from envkit.cli.flags import Flags
from envkit.cli.verb import Commands

COMMANDS = Commands()
"""Every command by name, in the order of the help: `function(flags, **own options)`."""

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
    """The name as Python has it of an option as it is typed; empty for a word that is none."""
    letters = {f"-{letter}": name for name, letter in SHORT.items()}
    return letters.get(word, word[2:].replace("-", "_") if word.startswith("--") else "")


def option_defaults(commands: Mapping[str, Callable[..., int | None]] = COMMANDS) -> dict[str, Any]:
    """Every option of any command by name, with its default: one that is a bool takes no value."""
    parameters = (it for verb in commands.values() for it in list(inspect.signature(verb).parameters.values())[1:])
    return {it.name: it.default for it in parameters} | COMMON


def takes_next(word: str, known: Mapping[str, Any]) -> bool:
    """Whether a typed word is an option among `option_defaults()` whose value is the word after it."""
    option = option_named(word)
    return option in known and not isinstance(known[option], bool)


def flags_of(
    *, set: Iterable[str] | None, overlay: Iterable[str] | None, port_offset: str | None, **rest: Any
) -> Flags:
    """The common options as a value. Raises `UsageError` for a blank choice, and a port offset that is no number."""
    from envkit.config.request import CHOOSING, reject_blank

    for key, (option, _) in CHOOSING.items():
        reject_blank(option, rest.get(key))
    offset: int | str | None = port_offset
    if port_offset is not None and port_offset != AUTO:
        if not str(port_offset).isdecimal():
            raise UsageError(
                f"--port-offset takes a whole number or {AUTO}, got {port_offset!r}",
                hint=f"for example --port-offset 100, or --port-offset {AUTO} for one under which all ports are free",
            )
        offset = int(port_offset)
    return Flags(sets=tuple(set or ()), overlay=tuple(overlay or ()), port_offset=offset, **rest)


def carried_out(function: Callable[..., int | None], given: dict[str, Any]) -> int | None:
    """Call a command with all of its options, the common ones among them."""
    common = {name: given.pop(name, default) for name, default in COMMON.items()}
    return function(flags_of(**common), **given)


def normalize_argv(argv: Sequence[str]) -> list[str]:
    """The words with `-f` of `logs` spelled out: a file's name after it makes it `--file`, as everywhere; else it is
    `--follow`, which is what fingers know of every other `logs`.
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
    """What stands after the first `--`, word for word: invoke would join it with spaces."""
    return list(argv[argv.index("--") + 1 :]) if "--" in argv else []
