"""The record of what a running service or cluster was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Inputs:
    """The record of one running service, or of the cluster: a digest per field, and whether it holds data."""

    fingerprint: str
    fields: Mapping[str, str] = field(default_factory=dict)
    data: bool = False
