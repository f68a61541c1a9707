"""The details of an image or a program that is here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Details:
    """The details of an image or a program: id or version, size in bytes, and its source if that is known."""

    id: str
    size: int
    source: str = ""
