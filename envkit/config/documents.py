"""Set values in a YAML or JSON document by dotted path; all other values stay unchanged.

The module changes YAML as a tree of nodes and never converts it into Python values. So `1.10`, `no` and `0644` keep
their spelling, and the program that reads the file decides what they mean. Comments are lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from envkit.base import bounded
from envkit.config.sets import keys_of
from envkit.config.yamlfile import children

NULL = "tag:yaml.org,2002:null"
MAP = "tag:yaml.org,2002:map"
WIDE = 1 << 20
"""Maximum line length in columns, so large that PyYAML never folds a line."""


class UnsupportedDocument(ValueError):
    """The text is not a valid document, or a path does not fit the document."""


def is_json(name: str) -> bool:
    """Return whether a file of this name contains JSON, by its suffix."""
    return name.endswith(".json")


def laid_over(text: str, values: Mapping[str, Any], name: str) -> str:
    """Return the document with the values set. `name` is the file's name, which decides between JSON and YAML.

    Raises `UnsupportedDocument` with the place in the document and what was expected there.
    """
    return _json(text, values) if is_json(name) else _yaml(text, values)


def _json(text: str, values: Mapping[str, Any]) -> str:
    try:
        document = bounded.loaded_json(text) if text.strip() else {}
    except ValueError as error:
        raise UnsupportedDocument(f"is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnsupportedDocument("expected a JSON object at the top")
    for path, value in values.items():
        _put_json(document, path, value)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _put_json(document: Any, path: str, value: Any) -> None:
    at = document
    *way, last = keys_of(path)
    for index, key in enumerate(way):
        where = ".".join(way[: index + 1])
        inner = at[_index(at, key, where)] if isinstance(at, list) else at.get(key)
        if inner is None:
            inner = {}
            at[_index(at, key, where) if isinstance(at, list) else key] = inner
        if not isinstance(inner, dict | list):
            raise UnsupportedDocument(f"{path}: {where} is a single value in the file, not a mapping")
        at = inner
    at[_index(at, last, path) if isinstance(at, list) else last] = value


def _yaml(text: str, values: Mapping[str, Any]) -> str:
    try:
        root = bounded.composed(text, yaml.SafeLoader)[1]
    except yaml.YAMLError as error:
        raise UnsupportedDocument(f"is not YAML: {' '.join(str(error).split())}") from error
    if root is None or root.tag == NULL:
        root = yaml.MappingNode(MAP, [])
    if not isinstance(root, yaml.MappingNode):
        raise UnsupportedDocument("expected a mapping at the top")
    for path, value in values.items():
        _put_yaml(root, path, value)
    return str(yaml.serialize(root, Dumper=yaml.SafeDumper, allow_unicode=True, width=WIDE))


def _put_yaml(root: yaml.MappingNode, path: str, value: Any) -> None:
    at: yaml.Node = root
    *way, last = keys_of(path)
    for index, key in enumerate(way):
        where = ".".join(way[: index + 1])
        inner = _child(at, key, where)
        if inner is None or inner.tag == NULL:
            inner = yaml.MappingNode(MAP, [])
            _replace(at, key, inner, where)
        if not isinstance(inner, yaml.CollectionNode):
            raise UnsupportedDocument(f"{path}: {where} is a single value in the file, not a mapping")
        at = inner
    node = yaml.representer.SafeRepresenter(default_flow_style=False).represent_data(value)
    _replace(at, last, node, path)


def _child(at: yaml.Node, key: str, where: str) -> yaml.Node | None:
    if isinstance(at, yaml.SequenceNode):
        found: yaml.Node = at.value[_index(at.value, key, where)]
        return found
    return next((value for name, _, value in children(at) if name == key), None)


def _replace(at: yaml.Node, key: str, node: yaml.Node, where: str) -> None:
    if isinstance(at, yaml.SequenceNode):
        at.value[_index(at.value, key, where)] = node
        return
    name = yaml.representer.SafeRepresenter().represent_data(key)
    kept = [(old, node if old.value == key else value) for old, value in at.value]
    at.value = kept if any(old.value == key for old, _ in kept) else [*kept, (name, node)]


def _index(items: list[Any], key: str, where: str) -> int:
    if not key.isdecimal() or int(key) >= len(items):
        raise UnsupportedDocument(f"{where}: expected the number of an item of the list, 0 to {len(items) - 1}")
    return int(key)
