"""Calls a probe's methods as functions."""

from __future__ import annotations

from envkit.config.models import Probe
from envkit.drivers.probes import Target


def attempt(probe: Probe, target: Target) -> str | None:
    """Run one attempt of the probe and return the reason of its failure, or None if it succeeds."""
    return probe.attempt(target)


def describe(probe: Probe, target: Target) -> str:
    """Return the probe's description of what it expects."""
    return probe.describe(target)
