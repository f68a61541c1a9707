"""Messages about invalid values: what was expected at a path, and what was found there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from envkit.config.interpolate import Broken
from envkit.config.merge import Keys
from envkit.config.names import HEADER, HTTP_PATH, NAME, NAME_IN_WORDS, VARIABLE, did_you_mean
from envkit.config.units import EXPECTED

Node = dict[str, Any]

PATTERNS = {
    NAME: NAME_IN_WORDS,
    VARIABLE: "a variable's name: letters, digits and underscores, no digit first",
    r"^/": "an absolute path",
    HEADER: "a header's name: letters, digits and -",
    HTTP_PATH: "a path of visible ASCII characters, with all others percent-encoded",
    r"^0?[0-7]{3}$": "a file mode such as 0644",
    r"^\d+(:\d+)?$": "a uid such as 1001, or uid:gid",
    r"^v?\d+\.\d+\.\d+$": "a version such as 1.31.2",
}
SECRET = re.compile(r"(password|secret|token|auth|_key)", re.IGNORECASE)
"""Matches keys and variables with secret values; messages never show these values."""

_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "array": "a list",
    "object": "a mapping",
    "null": "",
}


def has(value: Any, key: Any) -> bool:
    """Return whether the mapping or list has an item at `key`."""
    return key in value if isinstance(value, dict) else isinstance(value, list) and key in range(len(value))


def explained(
    error: ValidationError, model: type[BaseModel], raw: Any, also: tuple[str, ...] = (), most: int | None = None
) -> dict[Keys, str]:
    """Return one message per path for the first `most` errors; all alternatives at a path share one message."""
    found: dict[Keys, str] = {}
    for detail in error.errors(include_url=False)[:most]:
        keys, value = _place(detail, raw)
        node = schema_at(model, keys, raw)
        if isinstance(value, Broken):
            message = value.message
        elif detail["type"] == "extra_forbidden":
            message = unknown_key(str(keys[-1]), {*_properties(node), *(also if len(keys) == 1 else ())})
        else:
            message = _message(detail["type"], detail, keys, value, node)
        found.setdefault(keys, message)
    return found


def _place(detail: Mapping[str, Any], raw: Any) -> tuple[Keys, Any]:
    """Return the path of an error in `raw`, and the value there.

    The path from pydantic also contains the alternatives that pydantic tried; this function removes them.
    """
    keys: list[str | int] = []
    value = raw
    location = [part for part in detail["loc"] if part != "[key]"]
    for index, part in enumerate(location):
        if isinstance(part, int) and isinstance(value, dict) and part < len(value):
            part = list(value)[part]  # the configuration has a mapping where pydantic has a list
        if has(value, part):
            keys.append(part)
            value = value[part]
        elif detail["type"] == "missing" and index == len(location) - 1:
            keys.append(part)
            value = None
    if detail["type"].startswith("union_tag"):
        keys.append("type")
        value = value.get("type") if isinstance(value, dict) else value
    return tuple(keys), value


def unknown_key(key: str, known: Collection[str]) -> str:
    """Return the message about a key that the model does not have."""
    return f"unknown key{did_you_mean(key, known) or ';'} known here: {', '.join(sorted(known))}"


def _message(kind: str, detail: Mapping[str, Any], keys: Keys, value: Any, node: Node) -> str:
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "missing":
        return f"is missing; expected {expected(node)}"
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return f"expected {PATTERNS.get(detail.get('ctx', {}).get('pattern', ''), 'another key')}; found '{keys[-1]}'"
    if kind.startswith("union_tag"):
        known = sorted(node.get("discriminator", {}).get("mapping", {}))
        if value is None:
            return f"is missing; expected one of {', '.join(known)}"
        return f"expected one of {', '.join(known)}; found {found(value, keys)}{did_you_mean(str(value), known)}"
    wish = expected(node)
    near = did_you_mean(value, _choices(node)) if isinstance(value, str) else ""
    return f"expected {wish}; found {found(value, keys)}{_privileged(value, node)}{near}"


def _privileged(value: Any, node: Node) -> str:
    minimum = [option.get("minimum") for option in _options(node)]
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 20 else value
    if 1024 in minimum and isinstance(number, int) and not isinstance(number, bool) and 0 < number < 1024:
        return ", which is privileged"
    return ""


def found(value: Any, keys: Keys = ()) -> str:
    """Return the value in the form for a message; secret values are not shown."""
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None:
        return "nothing"
    if keys[:1] == ("secrets",) or any(isinstance(key, str) and SECRET.search(key) for key in keys[-1:]):
        return f"{'text' if isinstance(value, str) else 'a value'} (not shown)"
    return f"'{value}'" if isinstance(value, str) else str(value).lower()


def expected(node: Node) -> str:
    """Return what the schema expects at this node, in words."""
    wishes = [_wish(option) for option in _options(node)]
    return " or ".join(dict.fromkeys(wish for wish in wishes if wish)) or "something else"


def _wish(node: Node) -> str:
    if "examples" in node:
        return EXPECTED[str(node["examples"][0])]
    if "enum" in node or "const" in node:
        return "one of " + ", ".join(map(str, node["enum"])) if "enum" in node else f"'{node['const']}'"
    if "discriminator" in node:
        return "a mapping with a type"
    if "pattern" in node:
        return PATTERNS.get(node["pattern"], f"text like {node['pattern']}")
    kind = node.get("type", "")
    low, high = node.get("minimum"), node.get("maximum")
    span = f" from {low} to {high}" if high is not None else f", at least {low}" if low is not None else ""
    return f"{_TYPES.get(kind, '')}{span}" if isinstance(kind, str) else ""


def _choices(node: Node) -> list[str]:
    return [str(choice) for option in _options(node) for choice in option.get("enum", [option.get("const", "")])]


@cache
def schema(model: type[BaseModel]) -> Node:
    """Return the model's JSON schema, which describes what is expected at every path."""
    return model.model_json_schema()


def schema_at(model: type[BaseModel], keys: Keys, raw: Any = None) -> Node:
    """Return the schema node for a path, or the node that contains the first unknown key.

    The values of `type` in `raw` select among the alternatives of a node.
    """
    root = schema(model)
    node = _resolved(root, root)
    for key in keys:
        tagged = next((option for option in _options(node) if "discriminator" in option), None)
        if key == "type" and tagged:
            return tagged
        if tagged and isinstance(raw, dict) and isinstance(raw.get("type"), str):
            chosen = tagged["discriminator"]["mapping"].get(raw["type"])
            node = _resolved(root, {"$ref": chosen}) if chosen else node
        raw = raw[key] if has(raw, key) else None
        inner = next(_steps(root, node, key), None)
        if inner is None:
            return node
        node = _resolved(root, inner)
    return node


def _steps(root: Node, node: Node, key: str | int) -> Iterator[Node]:
    for option in _options(node):
        option = _resolved(root, option)
        if isinstance(key, int):
            yield from [option["items"]] if "items" in option else []
        elif key in option.get("properties", {}):
            yield option["properties"][key]
        elif isinstance(option.get("additionalProperties"), dict):
            yield option["additionalProperties"]
        elif isinstance(option.get("patternProperties"), dict):
            yield from option["patternProperties"].values()


def _resolved(root: Node, node: Node) -> Node:
    """Return the node with its `$ref` replaced by the definition, one level deep."""
    if "$ref" in node:
        node = {**root["$defs"][node["$ref"].rpartition("/")[2]], **{k: v for k, v in node.items() if k != "$ref"}}
    for word in ("anyOf", "oneOf"):
        if word in node:
            node = {**node, word: [_resolved(root, option) for option in node[word]]}
    return node


def _options(node: Node) -> list[Node]:
    """Return the alternatives of a node as a flat list."""
    inner = node.get("anyOf") or node.get("oneOf")
    if not inner or "examples" in node:
        return [node]
    if "discriminator" in node:
        return [node, *inner]
    return [flat for option in inner for flat in _options(option)]


def _properties(node: Node) -> set[str]:
    return {name for option in _options(node) for name in option.get("properties", {})}
