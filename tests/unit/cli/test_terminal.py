"""Tests of tables on narrow terminals, and of the replacements for characters that a terminal cannot show."""

from __future__ import annotations

import io
import os
import pty
import sys
from collections.abc import Iterator

import pytest

from envkit.cli import terminal
from envkit.cli.terminal import table

HEADED = [
    ("SERVICE", "STATE", "ADDRESS", "IMAGE"),
    ("redis", "running", "redis 127.0.0.1:16380", "docker.io/library/redis:7-alpine"),
    ("datastorage", "running", "api 127.0.0.1:18091, metrics 127.0.0.1:19091", ""),
]
PLAIN = [("keep", "network", "is there"), ("replace", "datastorage", "what it needs is new: redis and postgres")]


def test_a_pipe_gets_whole_lines() -> None:
    assert table(HEADED, 0, headed=True).splitlines()[2].split("  ")[0] == "datastorage"
    assert len(table(PLAIN).splitlines()) == 2


def test_a_wide_terminal_gets_the_same() -> None:
    assert table(HEADED, 200, headed=True) == table(HEADED)


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_rows_under_a_head_become_paragraphs(columns: int) -> None:
    said = table(HEADED, columns, headed=True)
    assert max(map(len, said.splitlines())) <= columns
    text = " ".join(said.split())
    assert text == (
        "redis state running, address redis 127.0.0.1:16380, image docker.io/library/redis:7-alpine "
        "datastorage state running, address api 127.0.0.1:18091, metrics 127.0.0.1:19091"
    )


@pytest.mark.parametrize("columns", [30, 40, 50])
def test_the_last_cell_goes_on_in_the_next_line(columns: int) -> None:
    said = table(PLAIN, columns)
    assert max(map(len, said.splitlines())) <= columns
    words = "keep network is there replace datastorage what it needs is new: redis and postgres"
    assert said.split() == words.split()


@pytest.fixture
def screen() -> Iterator[io.TextIOWrapper]:
    main, child = pty.openpty()
    with os.fdopen(child, "w") as stream:
        yield stream
    os.close(main)


@pytest.mark.parametrize(
    ("environ", "colours", "moves"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm"}, False, True),
    ],
)
def test_what_a_terminal_wants(
    screen: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], colours: bool, moves: bool
) -> None:
    monkeypatch.setattr(sys, "stdout", screen)
    assert (terminal.colourful(environ), terminal.moves(screen, environ)) == (colours, moves)


def test_a_pipe_is_drawn_in_colour_only_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not terminal.colourful({"TERM": "xterm"})
    assert terminal.colourful({"FORCE_COLOR": "1"})
    assert terminal.edge({"COLUMNS": "40"}) == 0, "nothing is folded for a program"
    assert terminal.width({}) == terminal.PIPE_WIDTH


def test_what_an_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    terminal.forgiving()
    sys.stdout.write("→ übung\n")
    sys.stdout.flush()
    assert raw.getvalue() == b"\\u2192 \\xfcbung\n"
    terminal.whole_letters()
    sys.stdout.write("ü\n")
    sys.stdout.flush()
    assert raw.getvalue().endswith("ü\n".encode())
