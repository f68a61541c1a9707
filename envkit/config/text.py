"""Text and numbers that no program, file or protocol takes, wherever they stand in a configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

LARGEST = 2**63 - 1


def unusable(keys: Iterable[str | int], value: Any) -> str:
    """Why nothing can be done with the value, or with a key on its path; empty when there is no reason."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return "expected a number of at most 63 bits"
    for text in (value, *keys):
        if isinstance(text, str) and (wrong := _unusable(text)):
            return wrong
    return ""


def _unusable(text: str) -> str:
    if "\0" in text:
        return "holds a NUL character, which no program and no file name can be given"
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return "is not UTF-8 text: it holds half of a character"
    return ""
