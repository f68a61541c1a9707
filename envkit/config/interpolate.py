"""`${VAR}`, `${VAR:-default}` and `$$` in the values of a file, replaced while it is loaded.

A name with a dot, `${postgres.host}`, is a reference: it stays and `envkit.config.references` resolves it later. So
that a literal `${a.b}` (from `$${a.b}`, or inside a variable's value) is not taken for one, the dollars directly before
`{a.b}` are doubled in loaded text; every other dollar stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REFERENCE = re.compile(r"(?<!\$)(\$+)\{([\w-]+(?:\.[\w-]+)+)(?:\|(\w+))?\}", re.ASCII)
"""An odd number of dollars makes a reference of what follows; pairs of them are literal dollars."""

_TOKEN = re.compile(r"\$(?:(\$)|\{([^{}]*)\}|(\{))")
_REFERENCE = re.compile(REFERENCE.pattern.removeprefix(r"(?<!\$)(\$+)\{").removesuffix(r"\}"), re.ASCII)
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


MOST_TOLD = 5
"""Things that are wrong with one text, and told."""


@dataclass(frozen=True)
class Broken:
    """Stands where a value could not be had; only a fault when no later layer replaces it.

    `unset` names the variables when nothing else is wrong with `text`.
    """

    message: str
    text: str = ""
    unset: tuple[str, ...] = ()


def interpolated(value: Any, environ: Mapping[str, str]) -> Any:
    """The same structure with every text interpolated, or `Broken` in its place."""
    if isinstance(value, dict):
        return {key: interpolated(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, environ) for item in value]
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
    """Literal text as loaded text: dollars that a reference could be read from are doubled."""
    text = REFERENCE.sub(lambda found: found[1] + found[0], text)
    return re.sub(r"(?<!\$)(\$+)$", r"\1\1", text) if before_reference else text
