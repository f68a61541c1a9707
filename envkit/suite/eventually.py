"""Waits until a check succeeds, with a deadline; the error has the reason of the last failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from envkit.base.errors import NotReady
from envkit.base.waiting import until

T = TypeVar("T")

SLOWEST_POLL = 0.25
"""Maximum seconds between two attempts."""


class NotWithin(AssertionError):
    """The check did not succeed before the deadline; the text ends with the last failure."""


def eventually(
    check: Callable[[], T],
    *,
    what: str = "",
    seconds: float = 10.0,
    tries_again: tuple[type[BaseException], ...] = (AssertionError,),
) -> T:
    """Call `check` until it returns a true value, and return that value.

    After an exception whose type is in `tries_again`, it tries again. Any other exception ends the wait. Raises
    `NotWithin` after `seconds`. The deadline does not interrupt `check`, so clients that `check` uses need their own
    timeouts.
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
