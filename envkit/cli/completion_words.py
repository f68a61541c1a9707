"""The words that shell completion offers. The shell's script asks the program, so the words are always current.

The answer takes less time than `env`: configuration is read but not validated, and no engine is used.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from envkit.base import registry
from envkit.base.paths import state_home
from envkit.cli.options import COMMANDS, COMMON, option_defaults, option_named, takes_next
from envkit.cli.verb import verb
from envkit.inventory.export import formats

CHOICES = {
    "lane": (*registry.LANES, "auto"),
    "engine": ("docker", "podman", "auto"),
    "port_offset": ("auto",),
    "format": formats(),
}


def complete(words: Sequence[str], own: Mapping[str, Sequence[str]]) -> int:
    """Print the completions of the last word, one on each line. Without any, the shell completes file names."""
    with suppress(Exception):  # a shell must not show errors while it completes
        sys.stdout.write("".join(f"{one}\n" for one in candidates(words or [""], own, dict(os.environ))))
    return 0


def candidates(words: Sequence[str], own: Mapping[str, Sequence[str]], environ: dict[str, str]) -> list[str]:
    """Return every word that is valid at this place and begins with the last word."""
    *before, typed = [word for word in words if word != "="] + ([""] if words[-1] == "=" else [])  # bash splits at =
    if "--" in before:
        return []
    if before and takes_next(before[-1], option_defaults()):
        return _beginning(_values(option_named(before[-1]), before, environ), typed)
    named, equals, value = typed.partition("=")
    if equals and named.startswith("--"):
        found = _beginning(_values(option_named(named), before, environ), value)
        return [f"{named}={one}" for one in found]
    chosen = _chosen(before)
    if typed.startswith("-"):
        return _beginning(_options(chosen, own), typed)
    if not chosen:
        return _beginning(("help", *COMMANDS, *own), typed)
    return _beginning(_words(chosen, before, own, environ), typed)


def _beginning(found: Iterable[str], typed: str) -> list[str]:
    return sorted({one for one in found if one.startswith(typed)})


def _chosen(before: Sequence[str]) -> str:
    """Return the command: the first plain word that is not the value of an option."""
    value, known = False, option_defaults()
    for word in before:
        if not word.startswith("-") and not value:
            return word
        value = takes_next(word, known)
    return ""


def _options(chosen: str, own: Mapping[str, Sequence[str]]) -> list[str]:
    if chosen in own:
        return ["--help", *own[chosen]]
    mine = list(inspect.signature(COMMANDS[chosen]).parameters)[1:] if chosen in COMMANDS else ()
    return [
        "--help",
        *(f"--{name.replace('_', '-')}" for name in (*mine, *COMMON)),
        *(() if chosen else ("--version",)),
    ]


def _words(
    chosen: str, before: Sequence[str], own: Mapping[str, Sequence[str]], environ: dict[str, str]
) -> Iterable[str]:  # fmt: skip
    """Return the plain words that a command takes: services, environments, shells, commands."""
    if chosen == "help":
        return (*COMMANDS, *own)
    if chosen in COMMANDS and before[-1] == chosen and (choices := verb(chosen).choices):
        return choices
    takes = inspect.signature(COMMANDS[chosen]).parameters if chosen in COMMANDS else {}
    name = next((name for name in ("service", "environment") if name in takes), "")
    found = [one for one in _values(name, before, environ) if one not in before] if name else []
    return [*found, "cluster"] if chosen == "shell" else found


def _values(option: str, before: Sequence[str], environ: dict[str, str]) -> Sequence[str]:
    """Return the values of an option; nothing if it takes a file, a number or any text."""
    known: dict[str, Callable[[], Sequence[str]]] = {
        "service": lambda: services(before, environ),
        "environment": lambda: environments(environ),
        "name": lambda: environments(environ),
        "profile": lambda: profiles(environ),
        "overlay": lambda: profiles(environ),
    }
    return CHOICES.get(option) or (known[option]() if option in known else ())


def services(before: Sequence[str], environ: dict[str, str]) -> list[str]:
    """Return the services of the configuration that the words typed so far select."""
    from envkit.config.load import Request
    from envkit.config.sources import collect

    given = {option: value for word, value in pairwise(before) if (option := option_named(word))}
    chosen = {name: given[name] for name in ("file", "profile") if name in given}
    overlays = {"overlays": (given["overlay"],)} if "overlay" in given else {}
    request = Request.of(environ, Path.cwd(), **chosen, **overlays)
    return [name for layer in collect(request).layers for name in layer.data.get("services") or {}]


def profiles(environ: dict[str, str]) -> list[str]:
    """Return the profiles beside the configuration and those that come with envkit."""
    from envkit.config.lookup import profiles as known
    from envkit.config.request import Request

    return known(Request.of(environ, Path.cwd()))


def environments(environ: dict[str, str]) -> list[str]:
    """Return the environments that have a record on this machine."""
    from envkit.inventory.state import names

    return names(state_home(environ))
