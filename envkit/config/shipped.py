"""Files that are part of envkit: profiles, manifests, and its own service DataStorage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from envkit.base.paths import PACKAGE

PREFIX = "envkit:"
"""Prefix of a path inside envkit's own files, for example `envkit:manifests`."""

OWN = "datastorage"
"""Value of `build.context` and `migrations.folder` that selects envkit's own service."""


def shipped_folder(name: str) -> Path:
    """Return the folder of that name (`config` or `manifests`): in the package of a wheel, else in the repository."""
    inside = PACKAGE / "_shipped"
    return (inside if inside.is_dir() else PACKAGE.parent) / name


def is_shipped(path: Path) -> bool:
    """Return whether the file is one of the shipped profiles."""
    return path.resolve().parent == shipped_folder("config").resolve()


def default_profile() -> str:
    """Return the name of the profile that is used if the user names none, from the file `config/default-profile`."""
    return (shipped_folder("config") / "default-profile").read_text(encoding="utf-8").strip()


def checkout_of(files: Sequence[str], root: str) -> str:
    """Return the checkout of an environment with these configuration files, or an empty string if it has none.

    An environment with only shipped profiles has no checkout, so that its user can reach it from any folder. If the
    user adds only a file to the profiles (an overlay, `envkit.local.yaml`), the folder of that file is the checkout.
    """
    own = [Path(file) for file in files if not is_shipped(Path(file))]
    if not own:
        return ""
    return root if any(file.is_relative_to(root) for file in own) else str(own[0].parent)


def migrations_folder(written: str) -> Path:
    """Return the path for a value of `migrations.folder`; `datastorage` selects envkit's own migrations."""
    return PACKAGE / "datastorage" / "migrations" if written == OWN else Path(written)


def profiles() -> list[str]:
    """Return the sorted names of the shipped profiles and overlays."""
    return sorted(path.stem for path in shipped_folder("config").glob("*.yaml"))
