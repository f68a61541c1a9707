"""Prepare one layer for merging: expand short forms, and make paths absolute from the folder of the layer's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from envkit.config.lookup import absolute
from envkit.config.shipped import OWN, PREFIX, shipped_folder

Change = Callable[[Any], Any]

PATHS = (
    ("cluster", "manifests", "*"),
    ("cluster", "kubeconfig"),
    ("services", "*", "files", "*", "source"),
    ("services", "*", "build", "context"),
    ("services", "*", "migrations", "folder"),
)
"""Keys with values that are paths of the host."""


def prepare_cluster(written: dict[str, Any], folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the layer with absolute paths and with short forms (`cluster: kind`, `ports: {redis: 16380}`) expanded."""
    data: Any = changed(written, ("cluster",), _cluster)
    data = changed(data, ("services", "*", "ports", "*"), _port)
    for keys in PATHS:
        own = keys[-1] in ("context", "folder")
        data = changed(data, keys, partial(_path, folder=folder, environ=environ, own=own))
    return dict(data)


def changed(value: Any, keys: tuple[str, ...], change: Change) -> Any:
    """Return a copy with `change` applied at `keys`.

    `*` means every item of a mapping or list; at the end of `keys` it also means a single value in place of a list.
    """
    if not keys:
        return change(value)
    head, rest = keys[0], keys[1:]
    if isinstance(value, dict):
        return {key: changed(item, rest, change) if head in ("*", key) else item for key, item in value.items()}
    if isinstance(value, list):
        return [changed(item, rest, change) for item in value] if head == "*" else value
    return change(value) if keys == ("*",) else value


def _cluster(value: Any) -> Any:
    """Return `{type: NAME}` for a type's name, so that it merges with lower layers; the text `none` replaces them."""
    return {"type": value} if isinstance(value, str) and value != "none" else value


def _port(value: Any) -> Any:
    """Return the long form of a port: `16380` and `auto` are host ports, `16380:6379` is host and container port.

    The function removes a prefix `127.0.0.1:`, because envkit publishes ports on that address only.
    """
    if isinstance(value, str) and ":" in value:
        host, _, container = value.removeprefix("127.0.0.1:").rpartition(":")
        return {"host": host, "container": container}
    return {"host": value} if isinstance(value, int | str) and not isinstance(value, bool) else value


def _path(value: Any, folder: Path, environ: Mapping[str, str], own: bool) -> Any:
    if not isinstance(value, str) or not value or (own and value == OWN):
        return value
    if value.startswith(PREFIX):
        return str(shipped_folder(".") / value.removeprefix(PREFIX))
    if value == "~" or value.startswith("~/"):
        value = environ.get("HOME", "~") + value[1:]
    return str(absolute(value, folder))
