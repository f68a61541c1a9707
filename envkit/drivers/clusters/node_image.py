"""kind and the image of its nodes: where the program is, and which image it would take by itself."""

from __future__ import annotations

import mmap
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from envkit.config.images import full_name

PROGRAM = "kind"

_DEFAULT = re.compile(rb"kindest/node:v\d+\.\d+\.\d+@sha256:[0-9a-f]{64}")


def loaded_program(cache: Path) -> Path:
    """Where `images load` puts the kind that an archive holds."""
    return cache / "bin" / PROGRAM


def program(environ: Mapping[str, str], cache: Path) -> str:
    """The kind on PATH, else the one that came with an archive and is as it was loaded, else its bare name."""
    found = shutil.which(PROGRAM, path=environ.get("PATH"))
    if found:
        return found
    from envkit.drivers.supply.sealed import is_intact

    loaded = loaded_program(cache)
    return str(loaded) if is_intact(loaded.parent) else PROGRAM


def default_image(kind: str) -> str | None:
    """The node image that this kind takes when told none: no command tells it, the program's own text does."""
    path = shutil.which(kind)
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            found = _DEFAULT.search(text)
            return full_name(found[0].decode()) if found else None
    except (OSError, ValueError):  # not readable, or empty
        return None
