"""What something that runs was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Made:
    """What a service (or `cluster`) that runs was made from: a digest by field, and whether it holds data."""

    fingerprint: str
    fields: Mapping[str, str] = field(default_factory=dict)
    data: bool = False
