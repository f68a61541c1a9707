"""Functions for files that other users can own: a file that this user has no right to see counts as missing."""

from __future__ import annotations

from pathlib import Path


def is_file(path: Path) -> bool:
    """Return whether the path is a file that this user can see.

    `Path.is_file` alone raises `PermissionError` if this user has no right to enter a parent folder.
    """
    try:
        return path.is_file()
    except OSError:
        return False


def entries(folder: Path) -> list[Path]:
    """Return the sorted paths in the folder, or an empty list if the folder is missing or cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
