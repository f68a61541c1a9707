"""Any other CI service, and a terminal: plain lines say it all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from envkit.base.ci_job import Identity
from envkit.ci.platform import Left, Mark, Platform, Say


class Plain:
    """Any other service, and a terminal: plain lines say it all."""

    def group(self, title: str, *, folded: bool = True) -> AbstractContextManager[None]:  # noqa: ARG002  the seam has it
        """The lines are enough."""
        return nullcontext()

    def foreign(self) -> AbstractContextManager[None]:
        """Nothing is a command here."""
        return nullcontext()

    def annotate(self, mark: Mark) -> None:
        """The error itself has been shown."""

    def mask(self, secrets: Sequence[str]) -> None:
        """Nobody to tell; variables are shown with their secrets hidden, as everywhere."""

    def leave(self, left: Left) -> list[str]:  # noqa: ARG002  the seam has it
        """No place for it."""
        return []


def platform(_environ: Mapping[str, str], _say: Say, *, as_json: bool) -> Platform:  # noqa: ARG001  each service has it
    """Return what says nothing beyond the lines themselves."""
    return Plain()


def identity(_environ: Mapping[str, str], _said: str) -> Identity | None:
    """Return None: the variables of an unknown service tell no job apart."""
    return None
