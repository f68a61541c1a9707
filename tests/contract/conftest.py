"""The engines that the contract is proved on: the fake always, the real ones where they answer."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from envkit.runtimes.discovery import find
from tests.contract.bench import ROOT, Bench, FakeBench, RealBench

ENGINES = [
    pytest.param("fake"),
    pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.integration]),
    pytest.param("podman", marks=[pytest.mark.podman, pytest.mark.integration]),
]


@pytest.fixture(scope="session", params=ENGINES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """One engine with one environment's network for the whole session."""
    environment = f"ct-{uuid.uuid4().hex[:8]}"
    real = request.param != "fake"
    made: Bench = RealBench(environment, find(request.param, os.environ)) if real else FakeBench(environment)
    try:
        made.networks.create(environment, ROOT)
        yield made
    finally:
        made.close()


@pytest.fixture
def engine(bench: Bench) -> Iterator[Bench]:
    """The engine, without containers before and after each case."""
    yield bench
    bench.clean()
