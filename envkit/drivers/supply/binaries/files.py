"""Looks at files that may be somebody else's: what cannot be looked at is not there."""

from __future__ import annotations

from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether it is a file that this user can see; `Path.is_file` raises where a folder on the way is closed."""
    try:
        return path.is_file()
    except OSError:
        return False


def entries(folder: Path) -> list[Path]:
    """What is in the folder, nothing where there is none or it is closed."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
