"""A test marked `docker`, `podman` or `kind` runs where that answers; elsewhere it is skipped, or fails if required."""

from __future__ import annotations

import os

import pytest

from tests.backends import BACKENDS, REQUIRE, required, silence

REAL = ("tests/contract/", "tests/datastorage/", "tests/e2e/", "tests/integration/")
"""Where tests meet real servers, on hosts that are not ours to quieten."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI a test on real servers that fails is run once more, and named as RERUN in the summary: a flake to mend.

    Unit tests are never run again, and nothing is outside CI.
    """
    if os.environ.get("CI", "").lower() != "true":
        return
    for item in items:
        if item.nodeid.startswith(REAL):
            item.add_marker(pytest.mark.flaky(reruns=1))


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
