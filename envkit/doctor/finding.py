"""What a check found, and what follows for the lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

LANES = ("containers", "mixed", "embedded")
ENGINES = ("containers", "mixed")
"""The lanes that need a container engine."""

State = Literal["ok", "warning", "lacking"]
"""warning: works, but something will be slower, or may fail later; lacking: the lanes that it names cannot be used."""


@dataclass(frozen=True)
class Fix:
    """What `--fix` does: only what is the user's own. `do` returns what was done, and raises `EnvkitError`."""

    what: str
    do: Callable[[], str]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `remedy` is for people; `as_root` are commands that need root."""

    name: str
    lanes: tuple[str, ...]
    state: State
    seen: str
    remedy: str = ""
    as_root: tuple[str, ...] = ()
    fix: Fix | None = None

    @property
    def fixable(self) -> bool:
        """Whether `--fix` can do something about it."""
        return self.fix is not None


def lacking(findings: Iterable[Finding], lane: str) -> list[Finding]:
    """Why the lane cannot be used; empty when it can."""
    return [found for found in findings if found.state == "lacking" and lane in found.lanes]
