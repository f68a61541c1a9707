"""Where results go, and how a question is asked."""

from __future__ import annotations

import sys
import time

from envkit.errors import UsageError


def out(text: str) -> None:
    """Results go to standard output; everything else goes to standard error."""
    sys.stdout.write(text)
    sys.stdout.flush()


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


def expiry(ttl: str | None) -> float:
    """When what is brought up now may be pruned, seconds since 1970; 0 for never."""
    from envkit.config.units import parse_duration

    if ttl is None:
        return 0.0
    try:
        seconds = parse_duration(ttl)
    except ValueError as error:
        raise UsageError(f"--ttl: {error}", hint="for example --ttl 8h") from error
    return time.time() + float(seconds)
