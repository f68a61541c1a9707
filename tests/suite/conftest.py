"""One embedded environment for all of it, its variables set as `run` would set them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envkit.clusters.api import Api
from envkit.suite import Environment
from tests.e2e.embedded_box import EmbeddedBox, box, silence
from tests.suite.inner import Inner
from tests.support import ports


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBox]:
    """The default profile's environment."""
    if silence():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(silence())
    number = ports.offset()
    made = box(
        f"suite-{uuid.uuid4().hex[:4]}", tmp_path_factory.mktemp("suite"), "--port-offset", str(number),
        ports=tuple(port + number for port in ports.GATEWAY),
    )  # fmt: skip
    try:
        made("up").ok()
        yield made
    finally:
        left = made.close()
    assert not left, left


@pytest.fixture(scope="package")
def variables(shared: EmbeddedBox) -> dict[str, str]:
    """What the environment exports."""
    return shared.variables()


@pytest.fixture
def environment(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The environment as a suite in it sees it; functions that read the process' variables find them, too."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Environment()


@pytest.fixture
def admin(environment: Environment) -> Api:
    """Its API server."""
    return environment.kubernetes()


@pytest.fixture
def inner(variables: dict[str, str], tmp_path: Path) -> Callable[..., Inner]:
    """Runs a suite of its own in the environment: `inner(text, "-n", "2")`."""

    def make(text: str, *words: str, **environ: str) -> Inner:
        return Inner(text, words, tmp_path, {**variables, **environ})

    return make
