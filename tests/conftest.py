"""A test marked `docker`, `podman` or `kind` runs where that answers; elsewhere it is skipped, or fails if required."""

from __future__ import annotations

import os

import pytest

from tests.backends import BACKENDS, REQUIRE, required, silence

SIDES = ("docker", "podman", "processes")
WHOLE = ("contract", "datastorage", "suite")
"""Folders whose tests share servers for the whole session."""

UNIT = "tests/unit/"
"""Tests that meet no real server; all others do, on hosts that are not ours to quieten."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on real servers: those that share an environment go to one worker; in CI a failed one is run once more.

    What passes then is named as RERUN in the summary: a flake to mend. Nothing is run again outside CI.
    """
    in_ci = os.environ.get("CI", "").lower() == "true"
    for item in items:
        if item.nodeid.startswith(UNIT):
            continue
        item.add_marker(pytest.mark.xdist_group(_sharing(item)))
        if in_ci:
            item.add_marker(pytest.mark.flaky(reruns=1))


def _sharing(item: pytest.Item) -> str:
    """The name of what the test shares with others: an environment, a set of servers, or only its file."""
    params = getattr(item, "callspec", None)
    variant = [value for value in params.params.values() if value in SIDES] if params else []
    if "shared_gateway" in getattr(item, "fixturenames", ()):
        return "-".join(["gateway", *variant])
    folder = item.path.parent.name
    return "-".join([folder if folder in WHOLE else item.path.stem, *variant])


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
