"""The tests that CI may skip, each with its reason. Any other skip in CI is a failure.

A name may have its parameters; without them it means all of them. A listed test that runs in CI fails too, so that
the list stays true.
"""

from __future__ import annotations

from typing import TypeVar

import pytest

ALLOWED = {
    "tests/integration/test_supply_binaries.py::test_kubernetes_is_built_from_debians_source_package": (
        "takes eight minutes of both cores, twice; tests/host/prepare builds the same source package in the same run"
    ),
}

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def judged(report: Report) -> Report:
    """Return the report, changed to a failure for an unlisted skip or for a listed test that was not skipped."""
    listed = report.nodeid in ALLOWED or report.nodeid.partition("[")[0] in ALLOWED
    if report.skipped and not listed:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        fail(report, f"skipped in CI: {reason}\nlet it run here, or list it in tests/skips.py with the reason")
    elif listed and report.passed and getattr(report, "when", "") == "call":
        fail(report, "listed in tests/skips.py, but it ran: remove it from the list")
    return report


def fail(report: pytest.TestReport | pytest.CollectReport, message: str) -> None:
    """Change the report to a failure with this message."""
    report.outcome = "failed"
    report.longrepr = message
