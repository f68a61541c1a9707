"""What comes with envkit: profiles, manifests, and its own DataStorage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from envkit.base.paths import PACKAGE

PREFIX = "envkit:"
"""Before a path: inside envkit's own files, `envkit:manifests` for example."""

OWN = "datastorage"
"""The word for envkit's own service in `build.context` and `migrations.folder`."""


def shipped(name: str) -> Path:
    """`config` or `manifests`: inside the package when installed from a wheel, else of the repository."""
    inside = PACKAGE / "_shipped"
    return (inside if inside.is_dir() else PACKAGE.parent) / name


def is_shipped(path: Path) -> bool:
    """Whether the file is one of the shipped profiles."""
    return path.resolve().parent == shipped("config").resolve()


def default_profile() -> str:
    """Return the name of the profile for a user who names none, as `config/default-profile` says it."""
    return (shipped("config") / "default-profile").read_text(encoding="utf-8").strip()


def checkout_of(files: Sequence[str], root: str) -> str:
    """The checkout that an environment made of these files belongs to, or an empty string.

    Shipped profiles alone belong to no checkout: their user finds the environment from any folder. A file that only
    adds to them (an overlay, `envkit.local.yaml`) makes its own folder the checkout.
    """
    own = [Path(file) for file in files if not is_shipped(Path(file))]
    if not own:
        return ""
    return root if any(file.is_relative_to(root) for file in own) else str(own[0].parent)


def migrations_folder(written: str) -> Path:
    """The folder of a service's `migrations.folder`, `datastorage` being envkit's own."""
    return PACKAGE / "datastorage" / "migrations" if written == OWN else Path(written)


def profiles() -> list[str]:
    """Names of the shipped profiles and overlays."""
    return sorted(path.stem for path in shipped("config").glob("*.yaml"))
