"""Writes results to standard output, and asks the user for confirmation."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from envkit.base.errors import UsageError
from envkit.cli.terminal import colourful


def out(text: str) -> None:
    """Write a result to standard output. Everything else goes to standard error."""
    sys.stdout.write(text)
    sys.stdout.flush()


COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red")
"""Colours of services, assigned in this order."""


@dataclass
class Prefixed:
    """Writes lines with the service's name in front. On a terminal, names are aligned and each has its own colour."""

    write: Callable[[str], None]
    environ: Mapping[str, str]
    _seen: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str, line: str) -> None:
        """Write one line of the service `name`."""
        colour = self._seen.setdefault(name, COLOURS[len(self._seen) % len(COLOURS)])
        if not colourful(self.environ):
            self.write(f"{name} | {line}\n")
            return
        from rich.color import ColorSystem
        from rich.style import Style

        width = max(map(len, self._seen))
        head = Style.parse(colour).render(f"{name:<{width}} |", color_system=ColorSystem.STANDARD)
        self.write(f"{head} {line}\n")


def confirmed(question: str, yes: bool) -> bool:
    """Return whether the user agrees, either by `--yes` or by an answer to the question.

    Raises `UsageError` if standard input is not a terminal.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nothing was done: there is no terminal to ask on", hint="add --yes to agree")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def expiry(ttl: str | None, option: str = "--ttl") -> float:
    """Return the time at which the environment expires (seconds since 1970); 0 means never.

    Raises `UsageError` if `ttl` is not a duration.
    """
    from envkit.config.units import parse_duration

    if ttl is None:
        return 0.0
    try:
        seconds = parse_duration(ttl)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", hint="for example --ttl 8h") from error
    return time.time() + float(seconds)
