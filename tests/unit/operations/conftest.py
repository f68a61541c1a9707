"""Fixture of the tests of `up`: a machine whose engine has the image `i`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.operations.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.engine.images.there["i"] = "sha256:i"
    yield made
    made.engine.close()
