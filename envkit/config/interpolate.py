"""Replace `${VAR}`, `${VAR:-default}` and `$$` in the values of a file while envkit loads it.

A name with a dot, such as `${postgres.host}`, is a reference. It stays in the text, and `envkit.config.references`
resolves it later. A literal `${a.b}` (from `$${a.b}`, or in a variable's value) must not become a reference.
Therefore envkit doubles the dollars directly before a literal `{a.b}`; every other dollar is an ordinary character.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REFERENCE = re.compile(r"(?<!\$)(\$+)\{([\w-]+(?:\.[\w-]+)+)(?:\|(\w+))?\}", re.ASCII)
"""A reference in loaded text: an odd number of dollars before the braces. Each pair of dollars is a literal dollar."""

_TOKEN = re.compile(r"\$(?:(\$)|\{([^{}]*)\}|(\{))")
_REFERENCE = re.compile(REFERENCE.pattern.removeprefix(r"(?<!\$)(\$+)\{").removesuffix(r"\}"), re.ASCII)
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


MOST_TOLD = 5
"""Maximum number of faults that envkit reports for one text."""


@dataclass(frozen=True)
class Broken:
    """Placeholder for a text that could not be interpolated; it is a fault only if no later layer replaces it.

    `unset` has the names of the unset variables, if these are the only faults of `text`.
    """

    message: str
    text: str = ""
    unset: tuple[str, ...] = ()


def interpolate(value: Any, environ: Mapping[str, str]) -> Any:
    """Return the same structure with every text interpolated; a text with a fault becomes a `Broken`."""
    if isinstance(value, dict):
        return {key: interpolate(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, environ) for item in value]
    return _text(value, environ) if isinstance(value, str) and "$" in value else value


def _text(text: str, environ: Mapping[str, str]) -> str | Broken:
    done: list[str] = []
    literal, position = "", 0
    wrong: list[str] = []
    unset: tuple[str, ...] = ()
    for token in _TOKEN.finditer(text):
        literal += text[position : token.start()]
        position = token.end()
        escaped, inner, opened = token.groups()
        if escaped:
            literal += "$"
        elif len(wrong) >= MOST_TOLD:
            break
        elif opened:
            wrong.append(f"'{text[token.start() : token.start() + 30]}' is not closed, or nested; {_FORMS}")
        elif _REFERENCE.fullmatch(inner):
            done += [protected(literal, before_reference=True), f"${{{inner}}}"]
            literal = ""
        else:
            value = _variable(inner, environ)
            literal += value if isinstance(value, str) else ""
            wrong += [value.message] if isinstance(value, Broken) else []
            unset += value.unset if isinstance(value, Broken) else ()
    if not wrong:
        return "".join([*done, protected(literal + text[position:])])
    names = tuple(dict.fromkeys(unset)) if len(unset) == len(wrong) else ()
    return Broken("; ".join(dict.fromkeys(wrong)), text, names)


_FORMS = "expected ${NAME}, ${NAME:-default} or ${service.port}, and $$ for a dollar"


def _variable(inner: str, environ: Mapping[str, str]) -> str | Broken:
    found = _VARIABLE.fullmatch(inner)
    if not found:
        return Broken(f"'${{{inner[:60]}}}' cannot be understood; {_FORMS}")
    name, default = found.groups()
    if default is not None:
        return environ.get(name) or default
    if name not in environ:
        return Broken(f"the variable {name} is not set; set it, or write ${{{name}:-default}}", unset=(name,))
    return environ[name]


def protected(text: str, before_reference: bool = False) -> str:
    """Return literal text with doubled dollars where a dollar could start a reference.

    `before_reference` means that a reference follows the text, so that dollars at its end are doubled, too.
    """
    text = REFERENCE.sub(lambda found: found[1] + found[0], text)
    return re.sub(r"(?<!\$)(\$+)$", r"\1\1", text) if before_reference else text
