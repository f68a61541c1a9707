"""dotenv files: `NAME=value`, quoted so that every common reader returns the same value."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLAIN = re.compile(r"^[A-Za-z0-9_./:@%+,=?-]*$")
_NOT_SINGLE = re.compile(r"['\r]|\\\\|\\\Z")
"""A quote ends them, text files change carriage returns, and some readers unescape `\\\\` and `\\'` even there."""


def render(variables: Mapping[str, str]) -> str:
    """Return one line for each variable, sorted."""
    return "".join(_line(name, value) for name, value in sorted(variables.items()))


def _line(name: str, value: str) -> str:
    r"""Plain where it may be; in single quotes, which readers take literally; else double-quoted and escaped.

    The escapes are those of a shell, which godotenv and compose read likewise. python-dotenv keeps the backslash of
    `\$` and `` \` ``: the one case without a spelling that all of them agree on.
    """
    if _PLAIN.fullmatch(value):
        return f"{name}={value}\n"
    if not _NOT_SINGLE.search(value):
        return f"{name}='{value}'\n"
    for raw, escaped in (("\\", "\\\\"), ('"', '\\"'), ("$", "\\$"), ("`", "\\`"), ("\r", "\\r")):
        value = value.replace(raw, escaped)
    return f'{name}="{value}"\n'
