"""The details of an image or a program on this host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Details:
    """The details of an image or a program. `id` is the image's id or the program's version; `size` is in bytes."""

    id: str
    size: int
    source: str = ""
