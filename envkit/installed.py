"""How envkit is installed: as the distribution `envkit-orchestrator`, whose import package and program are `envkit`."""

from __future__ import annotations

DISTRIBUTION = "envkit-orchestrator"
"""The name that pip knows. `envkit` on the public index is an environment-variable parser by somebody else."""


def extra_command(extra: str) -> str:
    """Return the command that adds an extra's packages to an installed envkit; pip keeps the envkit that is there."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"
