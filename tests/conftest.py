"""Runs a test marked `docker`, `podman` or `kind` if that backend answers; else skips it, or fails it if required."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests import skips
from tests.backends import BACKENDS, REQUIRE, in_ci, required, silence

UNIT = "tests/unit/"
"""The folder of the tests that use no real server. All others depend on the load of the host."""

WHOLE = ("contract", "datastorage", "suite")
"""Folders with tests that share servers for the whole session."""

SIDE = re.compile(r"\[(?:.*-)?(docker|podman|processes)[]-]")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, fail a skipped test unless `tests/skips.py` lists it, and fail a listed test that was not skipped."""
    report = yield
    return skips.judged(report) if in_ci() else report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI, fail a test file that skips itself, because `tests/skips.py` cannot list its tests."""
    report = yield
    return skips.judged(report) if in_ci() else report


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several workers, send tests that share an environment to the same worker."""
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            return sharing(nodeid)

    return Sharing(config, log) if config.getvalue("dist") == "loadgroup" else None


def sharing(nodeid: str) -> str:
    """Return the name of the resource that the test shares: an environment, a set of servers, its file, or nothing."""
    if nodeid.startswith(UNIT):
        return nodeid
    side = "".join(SIDE.findall(nodeid)[:1])
    path = Path(nodeid.partition("::")[0])
    if path.parent.name in WHOLE:
        return f"{path.parent.name} {side}"
    if path.name.startswith("test_ci"):
        return "jobs"  # each job removes expired environments of this user's other jobs
    return f"gateway {side}" if path.name.startswith("test_gateway_") else f"{path.name} {side}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail the test before any fixture if its backend does not answer."""
    for backend in BACKENDS:
        if item.get_closest_marker(backend) is None:
            continue
        reason = silence(backend)
        if reason and backend in required():
            pytest.fail(f"{backend} is required ({REQUIRE} or CI): {reason}", pytrace=False)
        if reason:
            pytest.skip(f"{backend}: {reason}")
