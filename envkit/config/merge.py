"""Merge configuration layers, and record which file wrote each value."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Keys = tuple[str | int, ...]


def dotted(keys: Keys) -> str:
    """Return the path as messages show it, for example `services.api.files[0].source`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


@dataclass
class Merged:
    """The merged layers. Mappings merge recursively. Lists and scalars replace the earlier value. Null deletes it.

    `origins` maps paths to the file that wrote the value.
    """

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Keys, str] = field(default_factory=dict)

    def lay(self, layer: dict[str, Any], origin: str) -> None:
        """Merge one more layer over the data; `origin` is the layer's name in messages."""
        self._lay(self.data, layer, origin, ())

    def _lay(self, into: dict[str, Any], layer: dict[str, Any], origin: str, at: Keys) -> None:
        for key, value in layer.items():
            here = (*at, key)
            inner = isinstance(into.get(key), dict)
            if isinstance(value, dict):
                if not inner:
                    into[key] = {}
                self._lay(into[key], value, origin, here)
            else:
                if inner:  # only a mapping has inner origins; the search for them reads all origins
                    self._forget(here)
                into.pop(key, None)
                if value is not None:
                    into[key] = copy.deepcopy(value)
            self.origins[here] = origin

    def _forget(self, at: Keys) -> None:
        for keys in [keys for keys in self.origins if keys[: len(at)] == at]:
            del self.origins[keys]

    def origin(self, at: Keys) -> str:
        """Return the file of the value, or else of the nearest mapping that contains it; empty if no file wrote it."""
        for end in range(len(at), 0, -1):
            if at[:end] in self.origins:
                return self.origins[at[:end]]
        return ""


def leaves(value: Any, at: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Yield every scalar of a nested value with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*at, index))
    else:
        yield at, value
