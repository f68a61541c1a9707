"""Finds what the output can show: width, characters, colours. A pipe is not a terminal and gets whole lines."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TextIO

PIPE_WIDTH = 100
"""Width in columns of drawings that do not go to a terminal."""

LEAST_ROOM = 20
"""Minimum width of a table's last column. If less is left, the last cell moves to its own line."""


def width(environ: Mapping[str, str]) -> int:
    """Return the columns of standard output; the variable `COLUMNS` overrides them."""
    said = environ.get("COLUMNS", "")
    return int(said) if said.isdecimal() and int(said) else edge(environ) or PIPE_WIDTH


def edge(environ: Mapping[str, str], stream: TextIO | None = None) -> int:
    """Return the columns of the terminal behind `stream` (default: standard output), or 0 for a pipe."""
    stream = stream or sys.stdout
    if not stream.isatty():
        return 0
    said = environ.get("COLUMNS", "")
    try:
        return int(said) if said.isdecimal() and int(said) else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def colourful(environ: Mapping[str, str]) -> bool:
    """Return whether to write colours to standard output.

    A terminal gets colours unless `NO_COLOR` (https://no-color.org) is set or `TERM` is `dumb`. With `FORCE_COLOR` a
    pipe gets them too.
    """
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and environ.get("TERM") != "dumb"


def moves(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether the cursor of the stream can be moved back, to draw in place."""
    return stream.isatty() and environ.get("TERM", "") not in ("", "dumb", "unknown")


def letters(stream: TextIO) -> bool:
    """Return whether the stream can write more than ASCII."""
    return (getattr(stream, "encoding", "") or "ascii").lower().replace("-", "").startswith("utf")


def forgiving() -> None:
    """Make both streams escape characters that their encoding lacks, so that no name makes a command fail."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure and not letters(stream):
            reconfigure(errors="backslashreplace")


def whole_letters() -> None:
    """Make standard output write UTF-8 whatever its encoding, because a shell reads the values unchanged."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure and not letters(sys.stdout):
        reconfigure(encoding="utf-8", errors="surrogateescape")


def table(rows: Sequence[Sequence[str]], columns: int = 0, *, headed: bool = False) -> str:
    """Return the rows as a table. Each column is as wide as its longest cell.

    If the table is wider than `columns`, the last cell of a row continues on the next line. With `headed`, each row
    becomes a paragraph instead, in which each cell has its heading in front. 0 columns means no limit.
    """
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    if not columns or max(map(len, lines)) <= columns:
        return "".join(f"{line}\n" for line in lines)
    if headed:
        return "".join(_paragraph(rows[0], row, columns) for row in rows[1:])
    return "".join(_folded(row, widths, columns) for row in rows)


def folded(text: str, columns: int) -> str:
    """Return the text with lines wrapped at `columns`; continued lines are indented. 0 columns means no limit."""
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
    """Return the line wrapped between words. The terminal wraps a word that is longer than the line."""
    whole = textwrap.TextWrapper(
        columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )
    return "".join(f"{part.rstrip()}\n" for part in whole.wrap(line) or [""])
