"""Fixtures for the tests of envkit.suite: one embedded environment, with its variables set as `run` sets them."""

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
    """Yield the environment of the default profile."""
    with default_profile(tmp_path_factory.mktemp("suite")) as made:
        made("up").ok()
        yield made


@pytest.fixture(scope="package")
def variables(shared: EmbeddedBox) -> dict[str, str]:
    """Return the variables that the environment exports."""
    return shared.variables()


@pytest.fixture
def environment(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Return the environment as a suite receives it.

    The fixture also sets the process's variables, for functions that read them.
    """
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Environment()


@pytest.fixture
def admin(environment: Environment) -> Api:
    """Return an admin client of the environment's API server."""
    return environment.kubernetes()


@pytest.fixture
def inner(variables: dict[str, str], tmp_path: Path) -> Callable[..., Inner]:
    """Return a function that runs a separate suite in the environment, for example `inner(text, "-n", "2")`."""

    def make(text: str, *words: str, **environ: str) -> Inner:
        return Inner(text, words, tmp_path, {**variables, **environ})

    return make
