"""Report to a terminal or to an unknown CI service, where envkit prints only its ordinary lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from envkit.base.ci_job import Identity
from envkit.ci.platform import Annotation, JobResult, Platform, Say


class Plain:
    """A platform without commands: each method does nothing."""

    def group(self, title: str, *, folded: bool = True) -> AbstractContextManager[None]:  # noqa: ARG002  protocol
        """Print no group."""
        return nullcontext()

    def foreign(self) -> AbstractContextManager[None]:
        """Do nothing: a terminal executes no commands in the log."""
        return nullcontext()

    def annotate(self, mark: Annotation) -> None:
        """Do nothing, because envkit has printed the error already."""

    def mask(self, secrets: Sequence[str]) -> None:
        """Do nothing: envkit itself hides secrets when it prints variables."""

    def leave(self, left: JobResult) -> list[str]:  # noqa: ARG002  protocol
        """Do nothing: there are no later steps."""
        return []


def platform(_environ: Mapping[str, str], _say: Say, *, as_json: bool) -> Platform:  # noqa: ARG001  protocol
    """Return the platform that prints only ordinary lines."""
    return Plain()


def identity(_environ: Mapping[str, str], _said: str) -> Identity | None:
    """Return None: the variables of an unknown service identify no job."""
    return None
