"""Runs the contract tests on the fake and on processes, and on each real engine that answers."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator

import pytest

from envkit.base.events import Stream
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.drivers.engine.discovery import find
from envkit.operations.locking import locked
from tests.contract.bench import OWNER, STATE, Bench, FakeBench, ProcessBench, RealBench

ENGINES = [
    pytest.param("fake"),
    pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.integration]),
    pytest.param("podman", marks=[pytest.mark.podman, pytest.mark.integration]),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests with `place` on every runtime, and tests with `engine` on runtimes with containers."""
    if "bench" in metafunc.fixturenames:
        processes = [pytest.param("processes")] if "place" in metafunc.fixturenames else []
        metafunc.parametrize("bench", [*ENGINES, *processes], indirect=True, scope="session")


@pytest.fixture(scope="session")
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One runtime with the network of one environment, for the whole session."""
    environment = f"ct-{uuid.uuid4().hex[:8]}"
    made: Bench
    if request.param == "fake":
        made = FakeBench(environment)
    elif request.param == "processes":
        made = ProcessBench(environment, tmp_path_factory.mktemp("processes"))
    else:
        made = RealBench(environment, find(request.param, os.environ))
    try:
        # Its lock is held, so a `prune` of another test or of a user on this machine leaves it.
        with locked(Paths(STATE, environment), 5.0, Stream([]), Cancel()):
            made.networks.create(environment, OWNER)
            yield made
    finally:
        made.close()
        shutil.rmtree(STATE, ignore_errors=True)


@pytest.fixture
def place(bench: Bench) -> Iterator[Bench]:
    """Any runtime, without services before and after each test."""
    yield bench
    bench.clean()


@pytest.fixture
def engine(bench: Bench) -> Iterator[Bench]:
    """An engine, without containers before and after each test."""
    yield bench
    bench.clean()
