"""A test marked `docker`, `podman` or `kind` runs where that answers; elsewhere it is skipped, or fails if required."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.backends import BACKENDS, REQUIRE, required, silence

UNIT = "tests/unit/"
"""Tests that meet no real server; all others do, on hosts that are not ours to quieten."""

WHOLE = ("contract", "datastorage", "suite")
"""Folders whose tests share servers for the whole session."""

SIDE = re.compile(r"\[(?:.*-)?(docker|podman|processes)[]-]")


def pytest_itemcollected(item: pytest.Item) -> None:
    """In CI a test on real servers that fails is run once more; what then passes is named as RERUN: a flake to mend.

    Unit tests are never run again, and nothing is outside CI.
    """
    if os.environ.get("CI", "").lower() == "true" and not item.nodeid.startswith(UNIT):
        item.add_marker(pytest.mark.flaky(reruns=1))


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
