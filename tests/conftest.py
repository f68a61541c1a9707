"""A test marked `docker`, `podman` or `kind` runs where that answers; elsewhere it is skipped, or fails if required."""

from __future__ import annotations

import pytest

from tests.backends import BACKENDS, REQUIRE, required, silence


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
