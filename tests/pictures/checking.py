"""A check that a picture still shows the program's output."""

from __future__ import annotations

from difflib import unified_diff

from tests.pictures.drawing import described
from tests.pictures.scenes import Scene, alike, shown
from tests.pictures.terminal import Shown


def check(one: Scene, now: Shown, environment: str) -> None:
    """Raise `AssertionError` with both outputs if they differ in more than time and machine."""
    assert now.code == one.code, now.raw
    command, *lines = described(one.name)
    assert command == f"$ {one.command}"
    before, after = alike(one, lines, "gateway"), alike(one, shown(now.screen.plain()), environment)
    differ = "\n".join(unified_diff(before, after, f"docs/pictures/{one.name}.svg", "the program now", lineterm=""))
    said = "\n".join(now.screen.plain())
    assert not differ, f"run `./dev pictures`, look at what changed, and commit it:\n{differ}\n\n{said}"
