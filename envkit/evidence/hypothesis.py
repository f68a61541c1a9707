"""The result of a rule: a possible cause of the failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fault = Literal["environment", "test", "none", "unknown"]
Confidence = Literal["possible", "likely", "certain"]

CONFIDENCES: tuple[Confidence, ...] = ("possible", "likely", "certain")


def weaker(confidence: Confidence) -> Confidence:
    """Return the next weaker confidence; `possible` stays as it is."""
    return CONFIDENCES[max(0, CONFIDENCES.index(confidence) - 1)]


@dataclass(frozen=True)
class Hypothesis:
    """One possible cause of the failure, before the messages of failed tests are compared with it.

    `at` is the time at which the cause began (seconds since 1970). `over` tells whether it ended before the run ended.
    `service` is the service that it concerns. `kinds` are the kinds of failure messages (`log_patterns.SIGNS`) that it
    would cause in tests. If `proved` is true, no test needs to confirm the hypothesis.
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
    """Whether the hypothesis states only that the command failed."""
