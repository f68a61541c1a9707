"""Variables for the suite, in the syntax of whoever reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from envkit.base import registry

_SECRET = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|_KEY|CREDENTIAL)", re.IGNORECASE)
_USERINFO = re.compile(r"(://[^:/@\s]*:)[^@/\s]+(@)")
_KEYWORD = re.compile(r"(\bpassword=)('[^']*'|[^\s&]+)", re.IGNORECASE)
"""In connection strings: `host=h password=p`, `?user=u&password=p`."""


def formats() -> tuple[str, ...]:
    """Return the names of the syntaxes that `render` knows."""
    return tuple(registry.EXPORT_FORMATS)


def render(variables: Mapping[str, str], form: str) -> str:
    """Return the variables, sorted; `form` is one of `formats()`."""
    text: str = registry.module(registry.EXPORT_FORMATS, form).render(variables)
    return text


def masked(name: str, value: str) -> str:
    """The value as it may be shown to bystanders: secrets by name, and passwords inside URLs, are hidden."""
    if _SECRET.search(name) and not name.endswith("_FILE"):
        return "********"
    return _KEYWORD.sub(r"\1********", _USERINFO.sub(r"\1********\2", value))
