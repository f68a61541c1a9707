"""The protocol between envkit's report of a job and a CI service."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

Say = Callable[[str], None]
"""A function that writes text to the log of the job at once."""


@dataclass(frozen=True)
class Annotation:
    """An annotation, with the file in the repository if it is known. `line` counts from 1; 0 means unknown."""

    level: Literal["error", "warning"]
    title: str
    text: str
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class JobResult:
    """Results for later steps: variables for all of them, outputs of this step, and a summary in Markdown."""

    variables: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""


class Platform(Protocol):
    """A CI service. A method does nothing if the service has no such feature."""

    def group(self, title: str, *, folded: bool = True) -> AbstractContextManager[None]:
        """Return a context that groups its part of the log under a title; `folded` hides the part until opened."""

    def foreign(self) -> AbstractContextManager[None]:
        """Return a context for foreign text, such as a log: the CI service executes no commands in it."""

    def annotate(self, mark: Annotation) -> None:
        """Show the annotation."""

    def mask(self, secrets: Sequence[str]) -> None:
        """Replace these secrets by stars in everything that the job logs from now on."""

    def leave(self, left: JobResult) -> list[str]:
        """Pass the results to later steps. Return one line with the reason for each result that cannot be passed."""
