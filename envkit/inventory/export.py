"""The exported variables as text, in the syntax of a shell, of dotenv files or of JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping

from envkit.base import registry

_SECRET = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|_KEY|CREDENTIAL)", re.IGNORECASE)
_USERINFO = re.compile(r"(://[^:/@\s]*:)[^@/\s]+(@)")
_KEYWORD = re.compile(r"(\bpassword=)('[^']*'|[^\s&]+)", re.IGNORECASE)
"""Matches the password in connection strings such as `host=h password=p` and `?user=u&password=p`."""


def formats() -> tuple[str, ...]:
    """Return the names of the formats that `render` supports."""
    return tuple(registry.EXPORT_FORMATS)


def render(variables: Mapping[str, str], form: str) -> str:
    """Return the variables as text, sorted by name. `form` is one of `formats()`."""
    text: str = registry.module(registry.EXPORT_FORMATS, form).render(variables)
    return text


def masked(name: str, value: str) -> str:
    """Return a form of the value that is safe to print.

    Asterisks replace the whole value of a variable with a name such as `DB_PASSWORD`, and each password in a URL or a
    connection string.
    """
    if _SECRET.search(name) and not name.endswith("_FILE"):
        return "********"
    return _KEYWORD.sub(r"\1********", _USERINFO.sub(r"\1********\2", value))
