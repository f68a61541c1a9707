"""What a rule says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fault = Literal["environment", "test", "none", "unknown"]
Confidence = Literal["possible", "likely", "certain"]

CONFIDENCES: tuple[Confidence, ...] = ("possible", "likely", "certain")


def weaker(confidence: Confidence) -> Confidence:
    """One step less sure."""
    return CONFIDENCES[max(0, CONFIDENCES.index(confidence) - 1)]


@dataclass(frozen=True)
class Hypothesis:
    """One thing that speaks for a fault, before the tests' own words are heard.

    `at` is when it began, `over` whether it passed again before the end, `service` whom it concerns, `kinds` the
    complaints (`log_patterns.SIGNS`) that tests would have of it. `proved` needs no test to confirm it.
    """

    fault: Fault
    confidence: Confidence
    reason: str
    next: str = ""
    at: float | None = None
    over: bool = False
    service: str = ""
    kinds: frozenset[str] = frozenset()
    proved: bool = False
    because: tuple[str, ...] = ()
    plain: bool = False
    """It says no more than that the command failed."""
