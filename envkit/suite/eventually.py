"""Waiting for what becomes true in its own time, with a deadline and the last reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from envkit.base.errors import NotReady
from envkit.base.waiting import until

T = TypeVar("T")

SLOWEST_POLL = 0.25
"""Seconds between attempts at the most."""


class NotWithin(AssertionError):
    """It did not become true before the deadline; the text ends with what was seen last."""


def eventually(
    check: Callable[[], T],
    *,
    what: str = "",
    seconds: float = 10.0,
    tries_again: tuple[type[BaseException], ...] = (AssertionError,),
) -> T:
    """Call `check` until it returns something true, and return that.

    An exception of `tries_again` means: not yet. Any other ends the wait at once. Raises `NotWithin` after `seconds`,
    counted between attempts: give clients inside `check` timeouts of their own.
    """
    found: list[T] = []
    name = str(what or getattr(check, "__doc__", None) or getattr(check, "__name__", repr(check)))

    def attempt() -> str | None:
        try:
            value = check()
        except tries_again as error:
            return f"{type(error).__name__}: {error}".strip()
        if not value:
            return repr(value)
        found.append(value)
        return None

    try:
        until(attempt, what=name.strip(), seconds=seconds, slowest=SLOWEST_POLL)
    except NotReady as error:
        raise NotWithin(error.message) from None
    return found[0]
