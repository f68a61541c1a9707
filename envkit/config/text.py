"""Reject text and numbers that programs, files and protocols cannot use, at any place in a configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

LARGEST = 2**63 - 1


def unusable(keys: Iterable[str | int], value: Any) -> str:
    """Return why the value, or a key on its path, cannot be used, or an empty string if it can."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return "expected a number of at most 63 bits"
    for text in (value, *keys):
        if isinstance(text, str) and (wrong := _unusable(text)):
            return wrong
    return ""


def _unusable(text: str) -> str:
    if "\0" in text:
        return "contains a NUL character, which programs and file names cannot contain"
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return "is not UTF-8 text: it contains half of a character"
    return ""
