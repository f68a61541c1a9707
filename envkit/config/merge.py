"""Layers laid over each other, with the memory of which file wrote what."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Keys = tuple[str | int, ...]


def dotted(keys: Keys) -> str:
    """`services.api.files[0].source`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


@dataclass
class Merged:
    """Mappings merge deeply, lists and scalars replace, null deletes."""

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Keys, str] = field(default_factory=dict)

    def lay(self, layer: dict[str, Any], origin: str) -> None:
        """Lay one more layer over what is there."""
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
                if inner:  # only a mapping has origins below it, and to look for them takes a walk through all
                    self._forget(here)
                into.pop(key, None)
                if value is not None:
                    into[key] = copy.deepcopy(value)
            self.origins[here] = origin

    def _forget(self, at: Keys) -> None:
        for keys in [keys for keys in self.origins if keys[: len(at)] == at]:
            del self.origins[keys]

    def origin(self, at: Keys) -> str:
        """The file that wrote the value, or the nearest mapping around it; empty when nobody did."""
        for end in range(len(at), 0, -1):
            if at[:end] in self.origins:
                return self.origins[at[:end]]
        return ""


def leaves(value: Any, at: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every scalar with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*at, index))
    else:
        yield at, value
