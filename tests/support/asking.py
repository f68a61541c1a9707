"""Probes asked as functions."""

from __future__ import annotations

from envkit.config.models import Probe
from envkit.drivers.probes import Target


def attempt(probe: Probe, target: Target) -> str | None:
    """What one attempt of the probe sees; None when it is satisfied."""
    return probe.attempt(target)


def describe(probe: Probe, target: Target) -> str:
    """What the probe expects there."""
    return probe.describe(target)
