"""YAML and JSON that somebody else wrote, read within bounds: bytes, nesting, and values after anchors and merges.

A file of a few hundred bytes can mean more values than memory holds (anchors that refer to lists of anchors), and one
that is nested deeply ends the interpreter: libyaml's composer recurses in C.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

LARGEST = 4 << 20
"""Bytes of one file; a manifest may have more."""

LARGEST_MANIFEST = 64 << 20

MOST = 50_000
"""Values of one file, each counted as often as an anchor or a merge repeats it; a large profile has a thousand."""

MOST_OF_A_MANIFEST = 1_000_000
"""The same of a manifest: the schemas of some operators' CRDs have a hundred thousand."""

DEEPEST = 100
"""Levels of nesting; what people write has ten, a CRD's schema forty."""

_BEFORE_A_BLOCK = re.compile(r"^[ \t\-?:]+", re.MULTILINE)
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C one is missing where PyYAML was built without libyaml."""

_MERGE = "tag:yaml.org,2002:merge"


class TooMuch(yaml.YAMLError):
    """The text is beyond the bounds; its words say which."""


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The file's text. Raises `OSError`, `UnicodeDecodeError`, `TooMuch`."""
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise TooMuch(f"is larger than {largest >> 20} MiB")
    return data.decode("utf-8")


def load(text: str, loader: Any, most: int = MOST) -> Any:
    """The one document of the text. Raises `yaml.YAMLError`, which `TooMuch` is."""
    made, node = composed(text, loader, most)
    return None if node is None else constructed(made, node)


def constructed(made: Any, node: Any) -> Any:
    """The values of a tree that `composed` gave. Raises `yaml.YAMLError`."""
    try:
        return made.construct_document(node)
    except (RecursionError, ValueError, OverflowError) as error:
        raise _unread(error) from error


def composed(text: str, loader: Any, most: int = MOST) -> tuple[Any, Any]:
    """The loader and the tree of the one document, None if there is none. Raises `yaml.YAMLError`."""
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
    """The document. Raises `ValueError`, also for one that is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def _unread(error: Exception) -> TooMuch:
    """A number of more digits than Python reads, a character that YAML does not have."""
    return TooMuch("an anchor contains itself" if isinstance(error, RecursionError) else str(error).partition(";")[0])


def _check_text(text: str, loader: Any) -> None:
    columns = max((len(found[0]) for found in _BEFORE_A_BLOCK.finditer(text)), default=0)
    if text.count("[") + text.count("{") + 2 * columns + 2 <= DEEPEST:
        return  # it cannot be deeper, and need not be parsed twice
    depth = 0
    event: Any
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            line = event.start_mark.line + 1
            raise TooMuch(f"line {line}: is nested more than {DEEPEST} levels deep")


@dataclass
class _Weight:
    """Of one node: values, levels, and for a mapping the keys that it has once its merges are done."""

    values: int = 1
    levels: int = 1
    keys: int = 0


@dataclass
class _Weights:
    """What a tree of nodes becomes, without building it: each node is weighed once, however many anchors lead to it."""

    most: int
    known: dict[int, _Weight] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def check(self, node: Any) -> None:
        """Raise `TooMuch` when it becomes too much."""
        if isinstance(node, yaml.ScalarNode):
            return
        weight = self._weigh(node)
        if max(weight.values, weight.keys) > self.most:
            raise TooMuch(f"means more than {self.most} values, its anchors and merges written out")
        if weight.levels > DEEPEST:
            raise TooMuch(f"is nested more than {DEEPEST} levels deep, its anchors written out")

    def _weigh(self, node: Any) -> _Weight:
        if isinstance(node, yaml.ScalarNode):
            return _Weight()
        if id(node) in self.open:
            raise TooMuch("an anchor contains itself")
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
