"""The engines that the contract is proved on: the fake always, the real ones where they answer."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from bench import DEBIAN, REDIS, Bench, FakeBench, RealBench

from envkit.errors import EngineError
from envkit.runtimes.discovery import find

ENGINES = [
    pytest.param("fake"),
    pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.integration]),
    pytest.param("podman", marks=[pytest.mark.podman, pytest.mark.integration]),
]


def _missing(kind: str, reason: str) -> None:
    """A missing backend skips with a reason on a laptop; where `ENVKIT_TEST_REQUIRE` names it, it fails."""
    required = os.environ.get("ENVKIT_TEST_REQUIRE", "").replace(",", " ").split()
    if kind in required or "all" in required:
        pytest.fail(f"{kind} is required here: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session", params=ENGINES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """One engine with one environment's network for the whole session."""
    environment = f"ct-{uuid.uuid4().hex[:8]}"
    if request.param == "fake":
        made: Bench = FakeBench(environment)
    else:
        try:
            made = RealBench(environment, find(request.param, os.environ))
        except EngineError as error:
            _missing(request.param, error.message)
        lacking = [image for image in (DEBIAN, REDIS) if not made.images.id_of(image)]
        if lacking:
            _missing(request.param, f"it lacks {', '.join(lacking)} (`tests/host/prepare` builds them)")
    try:
        made.networks.create(environment, "/some/checkout")
        yield made
    finally:
        made.close()


@pytest.fixture
def engine(bench: Bench) -> Iterator[Bench]:
    """The engine, without containers before and after each case."""
    yield bench
    bench.clean()
