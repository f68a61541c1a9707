"""Comparison of a command's output with the document; numbers, blanks and the environment's name may differ.

A document shows steps as a terminal does (`✓ redis 0.9s ready`). The compared output comes from a run without a
terminal, in which steps end in any order (`[3.1s] redis done in 0.9 s: ready`).
"""

from __future__ import annotations

import re

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_STEP = re.compile(r"\[ ?0s\] (\w+) done in 0 s: (.*)")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


def difference(shown: str, printed: str, name: str = "gateway") -> str:
    """Return both texts from their first difference, or an empty string.

    `...` in the document stands for any lines, or any part of a line.
    """
    lines = _lines(printed.replace(name, "gateway"))
    steps = {f"✓ {found[1]} 0s {found[2]}" for line in lines if (found := _STEP.match(line))}
    expected = _lines(shown)
    ticked = {line for line in expected if line.startswith("✓")}
    if ticked <= steps and _matches(["..." if line in ticked else line for line in expected], lines):
        return ""
    return f"the document shows\n{shown}\nbut it printed\n{printed}"


def _lines(text: str) -> list[str]:
    lines = (re.sub(r"\s+", " ", line).strip() for line in _COLOURS.sub("", text).splitlines())
    return [_NUMBER.sub("0", line) for line in lines if line]


def _matches(expected: list[str], lines: list[str]) -> bool:
    """Return whether all lines match in order.

    After a mismatch, the last `...` of the document stands for one more line, and the comparison goes on.
    """
    at = here = 0
    dots, taken = -1, 0
    while here < len(lines):
        if at < len(expected) and expected[at] == "...":
            dots, taken = at, here
            at += 1
        elif at < len(expected) and _alike(expected[at], lines[here]):
            at, here = at + 1, here + 1
        elif dots >= 0:
            taken += 1
            at, here = dots + 1, taken
        else:
            return False
    return all(line == "..." for line in expected[at:])


def _alike(expected: str, line: str) -> bool:
    return bool(re.fullmatch(".*".join(map(re.escape, expected.split("..."))), line))
