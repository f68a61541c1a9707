"""Tests of the test distribution: which tests stay on one worker when several workers run the suite."""

from __future__ import annotations

import pytest

from tests.conftest import sharing


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tests/e2e/test_gateway_1_up.py::test_a[docker]", "tests/e2e/test_gateway_9_down.py::test_b[docker]"),
        ("tests/e2e/test_signals.py::test_a[podman-int]", "tests/e2e/test_signals.py::test_b[podman]"),
        ("tests/contract/test_runtimes.py::test_a[fake]", "tests/contract/test_networks_and_images.py::test_b[fake]"),
        ("tests/datastorage/test_queries.py::test_a", "tests/datastorage/test_bounds.py::test_b[x]"),
        ("tests/e2e/test_ci_jobs.py::test_a[docker]", "tests/e2e/test_ci.py::test_b"),
        ("tests/e2e/test_embedded_1_up.py::test_a[redis]", "tests/e2e/test_embedded_1_up.py::test_b"),
    ],
)
def test_what_shares_an_environment_stays_together(one: str, other: str) -> None:
    assert sharing(one) == sharing(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tests/e2e/test_gateway_1_up.py::test_a[docker]", "tests/e2e/test_gateway_1_up.py::test_a[podman]"),
        ("tests/contract/test_runtimes.py::test_a[docker]", "tests/contract/test_runtimes.py::test_a[processes]"),
        ("tests/unit/planning/test_plan.py::test_a", "tests/unit/planning/test_plan.py::test_b"),
    ],
)
def test_what_shares_nothing_may_run_at_the_same_time(one: str, other: str) -> None:
    assert sharing(one) != sharing(other)
