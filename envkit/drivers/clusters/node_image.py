"""Finds the kind program and its default node image."""

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
    """Return the path at which `images load` stores the kind program from an archive."""
    return cache / "bin" / PROGRAM


def program(environ: Mapping[str, str], cache: Path) -> str:
    """Return the path of kind on PATH, else of kind from a loaded archive if unchanged, else the bare name `kind`."""
    found = shutil.which(PROGRAM, path=environ.get("PATH"))
    if found:
        return found
    from envkit.drivers.supply.sealed import is_intact

    loaded = loaded_program(cache)
    return str(loaded) if is_intact(loaded.parent) else PROGRAM


def default_image(kind: str) -> str | None:
    """Return the name of the node image that the program `kind` uses by default; None if the name is not found.

    No command of kind prints this name, so this searches the program's file for it.
    """
    path = shutil.which(kind)
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            found = _DEFAULT.search(text)
            return full_name(found[0].decode()) if found else None
    except (OSError, ValueError):  # not readable, or empty
        return None
