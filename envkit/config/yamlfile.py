"""Read YAML with fewer implicit types: every value is text, except `true`, `false`, `null` and plain whole numbers.

YAML 1.1 reads `22022:22` as a number of base 60, `no` as false and `1.10` as 1.1. This module keeps them as text, and
the typed model converts them to the types of its fields. A key that occurs twice is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from envkit.base import bounded

Finding = tuple[tuple[str | int, ...], str]
"""A fault before its file is known: the path inside the configuration, and the message."""


@dataclass(frozen=True)
class Parsed:
    """The content of one file and its faults; `broken` is true if the content cannot be used."""

    data: dict[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    broken: bool = False


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # the base class depends on how PyYAML was built
    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:  # noqa: ARG002  PyYAML's signature
        """Return the mapping with each key as it is written, so that `on:` and `8080:` are ordinary keys."""
        self.flatten_mapping(node)
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key.start_mark)
        return {str(key.value): self.construct_object(value, deep=True) for key, value in node.value}


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def parse_value(text: str) -> Any:
    """Return the value of one `--set`. Raises `ValueError` with the reason."""
    try:
        return bounded.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(_reason(error)) from error


def read(path: Path) -> Parsed:
    """Return the file's mapping and its faults, such as duplicate keys; an empty file is an empty mapping."""
    try:
        return parse(bounded.read_text(path))
    except bounded.TooLarge as error:
        return _broken(_reason(error))
    except OSError as error:
        return _broken(f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        return _broken(f"is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}")


def parse(text: str) -> Parsed:
    """Return the mapping in `text` and its faults; a syntax fault has its line and column."""
    try:
        loader, node = bounded.composed(text, _Loader)
        twice = tuple(_duplicates(node, ()))
        data = {} if node is None else bounded.constructed(loader, node)
    except yaml.YAMLError as error:
        return _broken(_reason(error))
    if data is not None and not isinstance(data, dict):
        return _broken("expected a mapping of keys at the top")
    return Parsed(data or {}, twice)


def _broken(message: str) -> Parsed:
    return Parsed({}, (((), message),), broken=True)


def _reason(error: Exception) -> str:
    if isinstance(error, bounded.TooLarge):
        return str(error)
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"is not valid YAML: {error}"
    problem = getattr(error, "problem", None) or "cannot be understood"
    return f"line {mark.line + 1}, column {mark.column + 1}: not valid YAML: {problem}"


def children(node: Any) -> Iterator[tuple[str | int, int, Any]]:
    """Yield the key or index, the line (from 1) and the node of each child; a duplicate key is yielded twice."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield index, _line(item), item
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), _line(key), value


def _line(node: Any) -> int:
    """Return the line, from 1; 0 for a node that was not read from a file."""
    return node.start_mark.line + 1 if node.start_mark else 0


def line_of(file: Path, path: str) -> int:
    """Return the line of a path such as `services.api.files[0].source`, or of its deepest part that exists.

    Lines count from 1. Returns 0 if the file cannot be read or has no part of the path.
    """
    try:
        node = bounded.composed(bounded.read_text(file), yaml.SafeLoader)[1]
    except (OSError, ValueError, yaml.YAMLError):
        return 0
    line = 0
    for index, name in re.findall(r"\[(\d+)\]|([^.\[\]]+)", path):
        wanted = int(index) if index else name
        found = next(((at, inner) for key, at, inner in children(node) if key == wanted), None)
        if found is None:
            break
        line, node = found
    return line


def _duplicates(node: Any, at: tuple[str | int, ...]) -> list[Finding]:
    found: list[Finding] = []
    first: dict[str | int, int] = {}
    for key, line, value in children(node):
        if key in first and key != "<<":
            found.append(((*at, key), f"is written twice, on lines {first[key]} and {line}; keep one of them"))
        first.setdefault(key, line)
        found += _duplicates(value, (*at, key))
    return found
