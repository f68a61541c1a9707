"""Read untrusted YAML and JSON, and limit its bytes, its levels of nesting, and its values after expansion.

Expansion means that anchors and merges are replaced by the values to which they refer.

A file of a few hundred bytes can expand to more values than memory holds (anchors that refer to lists of anchors).
Deep nesting crashes the interpreter, because libyaml's composer recurses in C.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

LARGEST = 4 << 20
"""Maximum size of one file, in bytes; the maximum for a manifest is higher."""

LARGEST_MANIFEST = 64 << 20
"""Maximum size of one manifest file, in bytes."""

MOST = 50_000
"""Maximum number of values in one file, counted after expansion; a large profile has about a thousand values."""

MOST_OF_A_MANIFEST = 1_000_000
"""Maximum number of values in one manifest: the schemas of some operators' CRDs contain a hundred thousand."""

DEEPEST = 100
"""Maximum levels of nesting. Files that people write nest about ten levels; the schema of a CRD nests forty."""

_BEFORE_A_BLOCK = re.compile(r"^[ \t\-?:]+", re.MULTILINE)
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's safe loader in C, or PyYAML's safe loader in Python if PyYAML was built without libyaml."""

_MERGE = "tag:yaml.org,2002:merge"


class TooLarge(yaml.YAMLError):
    """The text exceeds a limit, or PyYAML cannot build values from it; the message says why."""


def read_text(path: Path, largest: int = LARGEST) -> str:
    """Return the file's text. Raises `OSError`, `UnicodeDecodeError`, or `TooLarge` above `largest` bytes."""
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise TooLarge(f"is larger than {largest >> 20} MiB")
    return data.decode("utf-8")


def load(text: str, loader: Any, most: int = MOST) -> Any:
    """Return the values of the text's only document, or None for an empty text.

    Raises `yaml.YAMLError`, also if the text has several documents, and its subclass `TooLarge`.
    """
    made, node = composed(text, loader, most)
    return None if node is None else constructed(made, node)


def constructed(made: Any, node: Any) -> Any:
    """Return the values of a node tree that `composed` returned. Raises `yaml.YAMLError`."""
    try:
        return made.construct_document(node)
    except (RecursionError, ValueError, OverflowError) as error:
        raise _unread(error) from error


def composed(text: str, loader: Any, most: int = MOST) -> tuple[Any, Any]:
    """Return the loader and the node tree of the text's only document; the tree is None for an empty text.

    Raises `yaml.YAMLError`, also if the text has several documents.
    """
    _check_text(text, loader)
    try:
        made = loader(text)
        node = made.get_single_node()
    except (RecursionError, ValueError) as error:
        raise _unread(error) from error
    if node is not None:
        _Weights(most).check(node)
    return made, node


def loaded_json(text: str) -> Any:
    """Return the parsed JSON document. Raises `ValueError`, also if the document is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def _unread(error: Exception) -> TooLarge:
    """Return the error to raise for a text that PyYAML cannot build values from.

    Examples are an anchor that contains itself, a number with too many digits for Python, and a character that YAML
    does not allow.
    """
    return TooLarge("an anchor contains itself" if isinstance(error, RecursionError) else str(error).partition(";")[0])


def _check_text(text: str, loader: Any) -> None:
    columns = max((len(found[0]) for found in _BEFORE_A_BLOCK.finditer(text)), default=0)
    if text.count("[") + text.count("{") + 2 * columns + 2 <= DEEPEST:
        return  # with so few brackets and columns the text cannot exceed the limit; a second parse is not needed
    depth = 0
    event: Any
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            line = event.start_mark.line + 1
            raise TooLarge(f"line {line}: is nested more than {DEEPEST} levels deep")


@dataclass
class _Weight:
    """The expanded size of one node: its values, its levels, and for a mapping its keys after merges."""

    values: int = 1
    levels: int = 1
    keys: int = 0


@dataclass
class _Weights:
    """Compute the expanded size of a node tree without expanding it. Each node is measured once."""

    most: int
    known: dict[int, _Weight] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def check(self, node: Any) -> None:
        """Raise `TooLarge` if the expanded node has too many values or levels."""
        if isinstance(node, yaml.ScalarNode):
            return
        weight = self._weigh(node)
        if max(weight.values, weight.keys) > self.most:
            raise TooLarge(f"expands to more than {self.most} values through its anchors and merges")
        if weight.levels > DEEPEST:
            raise TooLarge(f"is nested more than {DEEPEST} levels deep after its anchors expand")

    def _weigh(self, node: Any) -> _Weight:
        if isinstance(node, yaml.ScalarNode):
            return _Weight()
        if id(node) in self.open:
            raise TooLarge("an anchor contains itself")
        if id(node) not in self.known:
            self.open.add(id(node))
            self.known[id(node)] = self._sum(node)
            self.open.discard(id(node))
        return self.known[id(node)]

    def _sum(self, node: Any) -> _Weight:
        sum_ = _Weight()
        mapping = isinstance(node, yaml.MappingNode)
        pairs: Any = node.value if mapping else ((None, item) for item in node.value)
        for key, value in pairs:
            inner = self._weigh(value)
            merges = mapping and key.tag == _MERGE
            if mapping:
                sum_.keys += self._merged(value) if merges else 1
                self._weigh(key)
            sum_.values += inner.values
            sum_.levels = max(sum_.levels, inner.levels + 1)
        return sum_

    def _merged(self, node: Any) -> int:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        return sum(self._weigh(part).keys for part in parts)
