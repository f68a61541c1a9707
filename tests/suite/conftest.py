"""One embedded environment for all of it, its variables set as `run` would set them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envkit.drivers.clusters.api import Api
from envkit.suite import Environment
from tests.e2e.embedded_box import EmbeddedBox, default_profile
from tests.suite.inner import Inner


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBox]:
    """The default profile's environment."""
    with default_profile(tmp_path_factory.mktemp("suite")) as made:
        made("up").ok()
        yield made


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
