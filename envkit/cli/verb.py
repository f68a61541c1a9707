"""Describes a command: its function, its help, and the meaning of its plain words.

Each command is a module with a `VERB`, registered in `base.registry.VERBS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from envkit.base import registry

USE = "bring up, use, remove"
LOOK = "inspect"
MACHINE = "this machine"
BEGIN = "get started"

GROUPS = (USE, LOOK, MACHINE, BEGIN)
"""Groups of commands, in the order of the help."""

Function = Callable[..., int | None]


@dataclass(frozen=True)
class Verb:
    """One command. `function(flags, **options)` carries it out; its parameters are the command's own options.

    `examples` are command lines, each with a description. `words` names the option to which plain words belong
    (`up redis` is `up --service redis`), and `usage` shows these words. `help` and `placeholders` map the command's own
    options to their texts. `choices` are the possible first words.
    """

    function: Function
    group: str
    examples: tuple[tuple[str, str], ...]
    words: str = ""
    usage: str = ""
    help: Mapping[str, str] = field(default_factory=dict)
    placeholders: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[str, ...] = ()


def verb(name: str) -> Verb:
    """Return the command of that name. Raises `KeyError` if there is no such command."""
    found: Verb = registry.module(registry.VERBS, name).VERB
    return found


def every() -> dict[str, Verb]:
    """Return all commands by name. This imports the modules of all commands."""
    return {name: verb(name) for name in registry.VERBS}


class Commands(Mapping[str, Function]):
    """The functions of all commands by name. A command's module is imported at the first access."""

    def __getitem__(self, name: str) -> Function:
        return verb(name).function

    def __contains__(self, name: object) -> bool:
        return name in registry.VERBS

    def __iter__(self) -> Iterator[str]:
        return iter(registry.VERBS)

    def __len__(self) -> int:
        return len(registry.VERBS)
