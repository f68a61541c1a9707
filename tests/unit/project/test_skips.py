"""Tests that a skip is a failure in CI, unless the list names the test."""

from __future__ import annotations

from typing import Any

import pytest

from tests import skips

LISTED = "tests/integration/test_x.py::test_long"


@pytest.fixture(autouse=True)
def short_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skips, "ALLOWED", {LISTED: "takes an hour"})


def report(nodeid: str, outcome: Any, longrepr: Any = None, when: Any = "call") -> pytest.TestReport:
    return pytest.TestReport(nodeid, ("", 0, ""), {}, outcome, longrepr, when)


def test_a_skip_that_nobody_listed_fails_with_its_reason() -> None:
    judged = skips.judged(report("tests/unit/test_x.py::test_y", "skipped", ("x.py", 1, "Skipped: no zsh"), "setup"))
    assert judged.failed
    assert "no zsh" in str(judged.longrepr) and "tests/skips.py" in str(judged.longrepr)


@pytest.mark.parametrize("nodeid", [LISTED, f"{LISTED}[me]"])
def test_a_listed_one_is_skipped(nodeid: str) -> None:
    assert skips.judged(report(nodeid, "skipped", ("x.py", 1, "Skipped: long"))).skipped


def test_a_listed_one_that_ran_is_taken_off_the_list() -> None:
    assert skips.judged(report(LISTED, "passed")).failed
    assert skips.judged(report(LISTED, "passed", when="setup")).passed


def test_a_file_that_skips_itself_fails() -> None:
    found = pytest.CollectReport("tests/unit/test_x.py", "skipped", ("x.py", 1, "no jsonschema"), [])
    assert skips.judged(found).failed


def test_everything_else_stays() -> None:
    assert skips.judged(report("tests/unit/test_x.py::test_y", "passed")).passed
    assert skips.judged(report("tests/unit/test_x.py::test_y", "failed", "boom")).longrepr == "boom"
