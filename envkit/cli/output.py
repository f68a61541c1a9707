"""Where results go, and how a question is asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from envkit.base.errors import UsageError
from envkit.cli.terminal import colourful


def out(text: str) -> None:
    """Results go to standard output; everything else goes to standard error."""
    sys.stdout.write(text)
    sys.stdout.flush()


COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red")
"""For one service after the other."""


@dataclass
class Prefixed:
    """Writes lines headed by their service's name: in a colour of its own and aligned on a terminal."""

    write: Callable[[str], None]
    environ: Mapping[str, str]
    _seen: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str, line: str) -> None:
        """One line."""
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
    """Whether the user wants it: said beforehand with `--yes`, or asked for now.

    Raises `UsageError` where nobody can be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nothing was done: nobody can be asked here", hint="say --yes to have it done")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def expiry(ttl: str | None, option: str = "--ttl") -> float:
    """When what is brought up now may be pruned, seconds since 1970; 0 for never."""
    from envkit.config.units import parse_duration

    if ttl is None:
        return 0.0
    try:
        seconds = parse_duration(ttl)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", hint="for example --ttl 8h") from error
    return time.time() + float(seconds)
