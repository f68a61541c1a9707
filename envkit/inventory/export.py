"""Variables for the suite, in the syntax of whoever reads them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping

FORMATS = ("dotenv", "shell", "json")

_PLAIN = re.compile(r"^[A-Za-z0-9_./:@%+,=?-]*$")
_NOT_SINGLE = re.compile(r"['\r]|\\\\|\\\Z")
"""A quote ends them, text files change carriage returns, and some readers unescape `\\\\` and `\\'` even there."""

_SECRET = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|_KEY|CREDENTIAL)", re.IGNORECASE)
_USERINFO = re.compile(r"(://[^:/@\s]*:)[^@/\s]+(@)")
_KEYWORD = re.compile(r"(\bpassword=)('[^']*'|[^\s&]+)", re.IGNORECASE)
"""In connection strings: `host=h password=p`, `?user=u&password=p`."""


def render(variables: Mapping[str, str], form: str) -> str:
    """The variables, sorted; `form` is one of `FORMATS`."""
    ordered = dict(sorted(variables.items()))
    if form == "json":
        return json.dumps(ordered, indent=2) + "\n"
    line = _shell if form == "shell" else _dotenv
    return "".join(line(name, value) for name, value in ordered.items())


def _shell(name: str, value: str) -> str:
    """For `eval`: POSIX quoting holds every value, newlines included."""
    return f"export {name}={shlex.quote(value)}\n"


def _dotenv(name: str, value: str) -> str:
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


def masked(name: str, value: str) -> str:
    """The value as it may be shown to bystanders: secrets by name, and passwords inside URLs, are hidden."""
    if _SECRET.search(name) and not name.endswith("_FILE"):
        return "********"
    return _KEYWORD.sub(r"\1********", _USERINFO.sub(r"\1********\2", value))
