"""A test marked `docker`, `podman` or `kind` runs where that answers; elsewhere it is skipped, or fails if required."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests import skips
from tests.backends import BACKENDS, REQUIRE, in_ci, required, silence

UNIT = "tests/unit/"
"""Tests that meet no real server; all others do, on hosts that are not ours to quieten."""

WHOLE = ("contract", "datastorage", "suite")
"""Folders whose tests share servers for the whole session."""

SIDE = re.compile(r"\[(?:.*-)?(docker|podman|processes)[]-]")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, turn a skip into a failure, but for those that `tests/skips.py` lists; and a listed one that ran too."""
    report = yield
    return skips.judged(report) if in_ci() else report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI a file that skips itself is a failure: no list can name what was never collected."""
    report = yield
    return skips.judged(report) if in_ci() else report


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several workers, tests that share an environment go to one of them."""
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            return sharing(nodeid)

    return Sharing(config, log) if config.getvalue("dist") == "loadgroup" else None


def sharing(nodeid: str) -> str:
    """The name of what the test shares with others: an environment, a set of servers, its file, or nothing."""
    if nodeid.startswith(UNIT):
        return nodeid
    side = "".join(SIDE.findall(nodeid)[:1])
    path = Path(nodeid.partition("::")[0])
    if path.parent.name in WHOLE:
        return f"{path.parent.name} {side}"
    if path.name.startswith("test_ci"):
        return "jobs"  # each job removes what lapsed of any other job of this user
    return f"gateway {side}" if path.name.startswith("test_gateway_") else f"{path.name} {side}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: is what the test needs here?"""
    for backend in BACKENDS:
        if item.get_closest_marker(backend) is None:
            continue
        reason = silence(backend)
        if reason and backend in required():
            pytest.fail(f"{backend} is required ({REQUIRE} or CI): {reason}", pytrace=False)
        if reason:
            pytest.skip(f"{backend}: {reason}")
