"""Makes the help texts: an overview of the commands in groups, and the options and examples of each command."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from envkit.cli.options import COMMON, SHORT
from envkit.cli.verb import GROUPS, every, verb

VALUES = {"port_offset": "N|auto", "set": "KEY=VALUE", "ttl": "TIME", "artifacts": "DIR", "junit": "FILE"}
"""Placeholders for the values of options that several commands have."""

INDENT = 2


def summary(text: str) -> str:
    """Return the first sentence of a docstring, on one line, without its full stop."""
    return " ".join(text.strip().split("\n\n")[0].split()).partition(". ")[0].rstrip(".")


def overview(program: str, tasks: Mapping[str, str], columns: int) -> str:
    """Return the overview of all commands in their groups; `tasks` maps their names to docstrings."""
    known = every()
    groups = {title: [name for name, verb in known.items() if verb.group == title] for title in GROUPS}
    if more := [name for name in tasks if name not in known]:
        groups["of this repository"] = more
    width = max(map(len, tasks))
    text = f"Usage: {program} COMMAND [OPTIONS]\n"
    for title, names in groups.items():
        rows = [(name, summary(tasks[name])) for name in names if name in tasks]
        text += f"\n{title}:\n" + _rows(rows, width, columns)
    return text + (f"\n`{program} COMMAND --help` shows options and examples, `{program} --version` the version.\n")


def of_command(program: str, name: str, texts: Mapping[str, str], columns: int) -> str:
    """Return the help of one command: usage, description, its own and the common options, examples."""
    about = verb(name)
    function, texts = about.function, {**texts, **about.help}
    own = [
        (it.name, it.default)
        for it in list(inspect.signature(function).parameters.values())[1:]
        if it.name not in ("service", "environment", "shell")
    ]
    usage = " ".join(filter(None, (program, name, "[OPTIONS]", about.usage)))
    text = f"Usage: {usage}\n\n"
    for paragraph in inspect.cleandoc(function.__doc__ or "").split("\n\n"):
        text += "".join(f"{line}\n" for line in textwrap.wrap(" ".join(paragraph.split()), columns))
    groups = {
        "options": _options(own, texts, about.placeholders),
        "of every command": _options(COMMON.items(), texts, {}),
    }
    width = max(len(left) for rows in groups.values() for left, _ in rows)
    for title, rows in groups.items():
        text += f"\n{title}:\n" + _rows(rows, width, columns) if rows else ""
    shown = [(f"{program} {line}", said.replace("envkit ", f"{program} ")) for line, said in about.examples]
    return text + ("\nexamples:\n" + _rows(shown, max(len(line) for line, _ in shown), columns) if shown else "")


def _options(
    named: Iterable[tuple[str, Any]], texts: Mapping[str, str], placeholders: Mapping[str, str]
) -> list[tuple[str, str]]:  # fmt: skip
    values, rows = {**VALUES, **placeholders}, []
    for name, default in named:
        short = f"-{SHORT[name]}, " if name in SHORT else ""
        value = "" if isinstance(default, bool) else f" {values.get(name, name.upper())}"
        rows.append((f"{short}--{name.replace('_', '-')}{value}", texts.get(name, "")))
    return rows


def _rows(rows: Sequence[tuple[str, str]], width: int, columns: int) -> str:
    """Return the rows in two columns; on a narrow terminal, put the second column below the first."""
    begin = INDENT + width + 2
    if columns - begin < 30:
        return "".join(f"{' ' * INDENT}{left}\n{_wrapped(right, 2 * INDENT + 2, columns)}" for left, right in rows)
    return "".join(
        f"{' ' * INDENT}{left:<{width}}  {_wrapped(right, begin, columns).lstrip()}" if right
        else f"{' ' * INDENT}{left}\n"
        for left, right in rows
    )  # fmt: skip


def _wrapped(text: str, indent: int, columns: int) -> str:
    lines = textwrap.wrap(text, max(20, columns - indent), break_on_hyphens=False)
    return "".join(f"{' ' * indent}{line}\n" for line in lines)
