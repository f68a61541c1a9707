"""What the reader's end can show: its width, its letters, its colours. A pipe is no terminal and gets whole lines."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TextIO

PIPE_WIDTH = 100
"""Columns for pictures that go to no terminal."""

LEAST_ROOM = 20
"""Columns that the last column of a table is given before it moves to a line of its own."""


def width(environ: Mapping[str, str]) -> int:
    """Columns of standard output; `COLUMNS` says otherwise."""
    said = environ.get("COLUMNS", "")
    return int(said) if said.isdecimal() and int(said) else edge(environ) or PIPE_WIDTH


def edge(environ: Mapping[str, str], stream: TextIO | None = None) -> int:
    """Where lines end on a terminal, standard output unless said; 0 for what is none: nothing is folded there."""
    stream = stream or sys.stdout
    if not stream.isatty():
        return 0
    said = environ.get("COLUMNS", "")
    try:
        return int(said) if said.isdecimal() and int(said) else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def colourful(environ: Mapping[str, str]) -> bool:
    """Whether standard output wants colours: a terminal does, unless `NO_COLOR` (https://no-color.org) or `TERM=dumb`
    say no; `FORCE_COLOR` makes one of a pipe.
    """
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and environ.get("TERM") != "dumb"


def moves(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the cursor can be sent back there, to draw in place."""
    return stream.isatty() and environ.get("TERM", "") not in ("", "dumb", "unknown")


def letters(stream: TextIO) -> bool:
    """Whether it takes more than ASCII."""
    return (getattr(stream, "encoding", "") or "ascii").lower().replace("-", "").startswith("utf")


def forgiving() -> None:
    """What an encoding lacks is written as an escape: no name of a file or a service ends a command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure and not letters(stream):
            reconfigure(errors="backslashreplace")


def whole_letters() -> None:
    """For values that a shell takes as they are: UTF-8, whatever the terminal is said to know."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure and not letters(sys.stdout):
        reconfigure(encoding="utf-8", errors="surrogateescape")


def table(rows: Sequence[Sequence[str]], columns: int = 0, *, headed: bool = False) -> str:
    """Columns as wide as what is in them; the last one takes what is left.

    Where a terminal of so many `columns` is too narrow the last cell goes on in the next line, and rows under a head
    become paragraphs in which each cell is called by its head.
    """
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    if not columns or max(map(len, lines)) <= columns:
        return "".join(f"{line}\n" for line in lines)
    if headed:
        return "".join(_paragraph(rows[0], row, columns) for row in rows[1:])
    return "".join(_folded(row, widths, columns) for row in rows)


def folded(text: str, columns: int) -> str:
    """Lines that are too long for a terminal of so many columns go on in the next one, indented; 0 changes nothing."""
    if not columns or all(len(line) <= columns for line in text.split("\n")):
        return text
    return "\n".join(_wrapped(line, columns, "    ")[:-1] if len(line) > columns else line for line in text.split("\n"))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()


def _folded(row: Sequence[str], widths: Sequence[int], columns: int) -> str:
    left = sum(widths[:-1]) + 2 * (len(widths) - 1)
    first = _line(row[:-1], widths[:-1])
    if columns - left >= LEAST_ROOM:
        first = first.ljust(left)
        return _wrapped(f"{first}{row[-1]}", columns, " " * left)
    return (f"{first}\n" if first else "") + (_wrapped(f"    {row[-1]}", columns, "    ") if row[-1] else "")


def _paragraph(head: Sequence[str], row: Sequence[str], columns: int) -> str:
    cells = [f"{name.lower()} {cell}".replace(" ", "\0") for name, cell in zip(head[1:], row[1:], strict=True) if cell]
    lines = textwrap.wrap(", ".join(cells), columns - 2, break_long_words=False, break_on_hyphens=False)
    said = "".join(_wrapped(f"  {line}".replace("\0", " "), columns, "    ") for line in lines)
    return f"{row[0]}\n{said}"


def _wrapped(line: str, columns: int, indent: str) -> str:
    """Broken between words where that helps; a word that is longer than the line is left to the terminal."""
    whole = textwrap.TextWrapper(
        columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )
    return "".join(f"{part.rstrip()}\n" for part in whole.wrap(line) or [""])
