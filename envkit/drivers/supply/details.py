"""What is known of an image or a program that is here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Details:
    """What is known of an image or a program: its id or version, its bytes, where it comes from if that is known."""

    id: str
    size: int
    source: str = ""
