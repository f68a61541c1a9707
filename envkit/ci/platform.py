"""The seam between what a job has to say and how a CI service reads it; and the service that reads nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

Say = Callable[[str], None]
"""Writes text where the service reads the log, at once."""


@dataclass(frozen=True)
class Mark:
    """An annotation: what it is about in the repository, where that is known. `line` counts from 1; 0 is unknown."""

    level: Literal["error", "warning"]
    title: str
    text: str
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class Left:
    """What a command leaves for later steps: variables for all of them, outputs of this one, a page of Markdown."""

    variables: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""


class Platform(Protocol):
    """A CI service. What it has no word for is left out."""

    def group(self, title: str, *, folded: bool = True) -> AbstractContextManager[None]:
        """A part of the log under a title; folded away until somebody looks."""

    def foreign(self) -> AbstractContextManager[None]:
        """Around text that is not ours, such as a service's log: nothing in it is a command to the service."""

    def annotate(self, mark: Mark) -> None:
        """Say it where the service shows what went wrong."""

    def mask(self, secrets: Sequence[str]) -> None:
        """Have these starred out of whatever is logged from now on."""

    def leave(self, left: Left) -> list[str]:
        """Hand it to later steps; what could not be handed on, and why, one line each."""
