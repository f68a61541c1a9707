"""The final content of a terminal: text, colours, and lines that later output has replaced."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[()][A-Z0-9]|([\n\r\b])|([^\x1b\n\r\b]+)")
Cell = tuple[str, str]
"""A letter and the SGR parameters in effect for it."""


@dataclass
class Screen:
    """A screen that grows with its content.

    It supports the sequences that rich and envkit send: colours, up, erase, return.
    """

    lines: list[list[Cell]] = field(default_factory=lambda: [[]])
    row: int = 0
    column: int = 0
    style: str = ""

    def feed(self, text: str) -> Screen:
        """Process a program's output and return the screen."""
        for found in TOKEN.finditer(text.replace("\r\n", "\n")):
            if found[2]:
                self._control(found[1], found[2])
            elif found[3]:
                self._move(found[3])
            elif found[4]:
                self._write(found[4])
        return self

    def _control(self, parameters: str, verb: str) -> None:
        if verb == "m":
            self.style = "" if parameters in ("", "0") else f"{self.style};{parameters}".lstrip(";")
        elif verb == "A":
            self.row = max(0, self.row - int(parameters or 1))
        elif verb == "K":
            self.lines[self.row] = [] if parameters == "2" else self.lines[self.row][: self.column]

    def _move(self, letter: str) -> None:
        if letter == "\b":
            self.column = max(0, self.column - 1)
            return
        self.column = 0
        if letter == "\n":
            self.row += 1
            while len(self.lines) <= self.row:
                self.lines.append([])

    def _write(self, text: str) -> None:
        for letter in text:
            line = self.lines[self.row]
            line.extend([(" ", "")] * (self.column - len(line)))
            line[self.column : self.column + 1] = [(letter, self.style)]
            self.column += 1

    def plain(self) -> list[str]:
        """Return each line without colours."""
        return ["".join(letter for letter, _ in line).rstrip() for line in self.lines]

    def coloured(self) -> list[str]:
        """Return each line with its colours; each line resets them at its end."""
        return [_painted(line) for line in self.lines]


def _painted(line: list[Cell]) -> str:
    text, before = "", ""
    for letter, style in line:
        if style != before:
            text += "\x1b[0m" + (f"\x1b[{style}m" if style else "")
        text, before = text + letter, style
    return text.rstrip() + ("\x1b[0m" if before else "")
