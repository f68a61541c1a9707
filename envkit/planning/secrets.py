"""Secrets of an environment: given by the user, or generated once and kept until `down` in files of mode 0600."""

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
"""Characters of generated secrets. They have no special meaning in a URL, a shell or a configuration file."""


def make(wanted: Mapping[str, Secret], paths: Paths) -> None:
    """Generate the secrets that have no given value and no file yet."""
    for name, secret in wanted.items():
        path = file_of(name, paths)
        if secret.value is None and not path.exists():
            paths.make()
            write_private(path, "".join(secrets.choice(LETTERS) for _ in range(secret.length)))


def text_of(name: str, secret: Secret, paths: Paths) -> str:
    """Return the secret, or the placeholder `<secret.NAME>` if the secret is not generated yet."""
    if secret.value is not None:
        return secret.value
    path = file_of(name, paths)
    return path.read_text() if path.exists() else f"<secret.{name}>"


def file_of(name: str, paths: Paths) -> Path:
    """Return the path of the file that holds a generated secret."""
    return paths.folder / "secrets" / name
