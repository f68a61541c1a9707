"""Secrets of an environment: given, or generated once and kept in files of mode 0600 until `down`."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.paths import Paths, write_private

if TYPE_CHECKING:
    from envkit.config.models import Secret

LETTERS = string.ascii_letters + string.digits
"""Nothing that a URL, a shell or a configuration file would take for something else."""


def make(wanted: Mapping[str, Secret], paths: Paths) -> None:
    """Generate those that are to be generated and are not there."""
    for name, secret in wanted.items():
        path = file_of(name, paths)
        if secret.value is None and not path.exists():
            paths.make()
            write_private(path, "".join(secrets.choice(LETTERS) for _ in range(secret.length)))


def text_of(name: str, secret: Secret, paths: Paths) -> str:
    """The secret; a mark in its place while it is not generated."""
    if secret.value is not None:
        return secret.value
    path = file_of(name, paths)
    return path.read_text() if path.exists() else f"<secret.{name}>"


def file_of(name: str, paths: Paths) -> Path:
    """Where a generated one is kept."""
    return paths.folder / "secrets" / name
