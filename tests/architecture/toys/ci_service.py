"""A toy CI service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from envkit.base.ci_job import Identity
from envkit.ci.plain import Plain
from envkit.ci.platform import Platform, Say


class Toy(Plain):
    """Prints the title of each group."""

    def __init__(self, say: Say) -> None:
        self._say = say

    @contextmanager
    def group(self, title: str, *, folded: bool = True) -> Iterator[None]:
        self._say(f"<toy {title}>\n")
        yield
        self._say("</toy>\n")


def platform(_environ: Mapping[str, str], say: Say, *, as_json: bool) -> Platform:
    return Plain() if as_json else Toy(say)


def identity(environ: Mapping[str, str], said: str) -> Identity | None:
    number = environ.get("TOY_JOB", "")
    return Identity("toy", number, (number, said)) if number else None
