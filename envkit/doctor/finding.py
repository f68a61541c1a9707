"""The result of a check, and its effect on the lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

LANES = ("containers", "mixed", "embedded")
ENGINES = ("containers", "mixed")
"""The lanes that need a container engine."""

State = Literal["ok", "warning", "lacking"]
"""`warning`: a lane is slower or can fail later. `lacking`: the lanes of the finding cannot be used."""


@dataclass(frozen=True)
class Fix:
    """A repair that `--fix` can do. It changes only what belongs to the user.

    `what` describes the repair. `do` makes it and returns a description of what it did. `do` raises `EnvkitError` if
    it fails.
    """

    what: str
    do: Callable[[], str]


@dataclass(frozen=True)
class Finding:
    """One result of a check. `seen` is what it found, `remedy` is advice, and `as_root` has commands for root."""

    name: str
    lanes: tuple[str, ...]
    state: State
    seen: str
    remedy: str = ""
    as_root: tuple[str, ...] = ()
    fix: Fix | None = None

    @property
    def fixable(self) -> bool:
        """Whether `--fix` can repair the problem."""
        return self.fix is not None


def lacking(findings: Iterable[Finding], lane: str) -> list[Finding]:
    """Return the findings that prevent the use of the lane, or an empty list if it can be used."""
    return [found for found in findings if found.state == "lacking" and lane in found.lanes]
