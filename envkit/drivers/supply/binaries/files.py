"""Tests for files that other users may own: a file that this user cannot see counts as missing."""

from __future__ import annotations

from pathlib import Path


def is_file(path: Path) -> bool:
    """Return whether the path is a file that this user can see; `Path.is_file` raises if a parent folder is closed."""
    try:
        return path.is_file()
    except OSError:
        return False


def entries(folder: Path) -> list[Path]:
    """Return the sorted entries of the folder, or an empty list if it is missing or this user may not read it."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
