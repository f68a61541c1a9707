"""The export format for dotenv files: `NAME=value`, quoted so that every common reader returns the same value."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLAIN = re.compile(r"^[A-Za-z0-9_./:@%+,=?-]*$")
_NOT_SINGLE = re.compile(r"['\r]|\\\\|\\\Z")
"""Matches values that single quotes cannot hold.

A quote ends the value, and text files change carriage returns. Some readers replace `\\\\` and `\\'` in single quotes.
"""


def render(variables: Mapping[str, str]) -> str:
    """Return one line for each variable, sorted by name."""
    return "".join(_line(name, value) for name, value in sorted(variables.items()))


def _line(name: str, value: str) -> str:
    r"""Return `name=value` without quotes if the value allows it, else in single quotes, else in double quotes.

    Readers take a value in single quotes literally. In double quotes the escapes are those of a shell; godotenv and
    compose read them in the same way. python-dotenv keeps the backslash of `\$` and `` \` ``. For these two characters
    no spelling works in all readers.
    """
    if _PLAIN.fullmatch(value):
        return f"{name}={value}\n"
    if not _NOT_SINGLE.search(value):
        return f"{name}='{value}'\n"
    for raw, escaped in (("\\", "\\\\"), ('"', '\\"'), ("$", "\\$"), ("`", "\\`"), ("\r", "\\r")):
        value = value.replace(raw, escaped)
    return f'{name}="{value}"\n'
