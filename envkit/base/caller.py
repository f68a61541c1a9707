"""The environment variables and the cache folder with which a command is called on this host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Caller:
    """The caller's environment variables, and the caller's folder for caches."""

    environ: Mapping[str, str]
    cache: Path
