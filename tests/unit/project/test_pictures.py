"""Tests that the pictures of the documents are complete, used in a document, and free of data from one machine.

`tests/e2e/test_embedded_1_up.py` checks with the real program whether they are current.
"""

from __future__ import annotations

import getpass
import re
import socket
from pathlib import Path

import pytest

from tests.pictures.drawing import FOLDER, described, drawn
from tests.pictures.scenes import ELSEWHERE, SCENES, Scene, alike, of_status, scene, shown, usual
from tests.pictures.screen import Screen

ROOT = Path(__file__).parents[3]
NAMED = [pytest.param(one, id=one.name) for one in SCENES]


def letters(lines: list[str]) -> list[str]:
    return [text for line in lines if (text := "".join(line.split()))]


@pytest.mark.parametrize("one", NAMED)
def test_a_picture_draws_what_it_describes(one: Scene) -> None:
    said = described(one.name)
    assert said[0] == f"$ {one.command}"
    assert len(said) > 5
    assert letters(drawn(one.name)) == letters(said)


@pytest.mark.parametrize("one", NAMED)
def test_a_picture_fetches_nothing_and_tells_of_nobody(one: Scene) -> None:
    text = (FOLDER / f"{one.name}.svg").read_text()
    assert re.findall(r"(?:href=|url\()[\"']?https?:[^)\s]*", text) == []
    words = "\n".join(described(one.name))
    assert ELSEWHERE.findall(words) == []
    assert socket.gethostname() not in words
    assert getpass.getuser() in ("root", "runner") or getpass.getuser() not in words


@pytest.mark.parametrize("one", NAMED)
def test_a_picture_is_shown_with_its_words(one: Scene) -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    image = re.compile(rf"!\[[^]]{{10,}}\]\([^)]*pictures/{one.name}\.svg\)")
    assert [path for path in documents if image.search(path.read_text())]


def test_no_picture_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.svg")} == {one.name for one in SCENES}


def test_a_screen_shows_what_was_drawn_last() -> None:
    screen = Screen().feed("a\r\n\x1b[32mfirst\x1b[0m line\r\nsecond\r\x1b[1A\x1b[2Kother\r\nse")
    assert screen.plain() == ["a", "other", "second"]
    assert Screen().feed("\x1b[1;31mx\x1b[0my\n").coloured()[0] == "\x1b[0m\x1b[1;31mx\x1b[0my"


def test_what_differs_between_machines_is_no_difference() -> None:
    here, there = "✓ redis        10.9s ready after 0.2 s", "✓ redis  0.4s ready after 12.0 s"
    assert usual(here) == usual(there)
    assert usual("stop it:  ./dev down --name x --lane embedded") == usual("stop it:  ./dev down")
    here = "redis  running  ready  redis 127.0.0.1:1  3m  2 MiB of 64  0.1s  6.2.14 from PATH"
    assert of_status(here) == of_status(
        "redis   running   ready   redis 127.0.0.1:16380   8s   31 MiB   1s   7.0 from a cache"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ready after", "it is after"),
        ("✓ redis", "✓ cache"),
        ("environment gateway", "gateway"),
        ("use it:", "use:"),
    ],
)
def test_other_words_are_one(before: str, after: str) -> None:
    up = scene("up")
    lines = described("up")
    changed = [line.replace(before, after) for line in lines]
    assert changed != lines
    assert alike(up, changed, "gateway") != alike(up, lines, "gateway")


def test_a_row_that_is_gone_is_one() -> None:
    for one in SCENES:
        lines = described(one.name)
        gone = [line for line in lines if "redis" not in line]
        assert alike(one, gone, "gateway") != alike(one, lines, "gateway"), one.name


def test_many_variables_are_cut() -> None:
    lines = ["", *(f"  NAME_{letter}=x" for letter in "ABCDEF"), "", "use it"]
    assert shown(lines) == ["  NAME_A=x", "  NAME_B=x", "  NAME_C=x", "  NAME_D=x", "  ...", "", "use it"]
