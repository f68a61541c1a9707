"""Commands of every day, on two services in containers: what is here, what may go, looked at, woken, talked to."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import FAILED
from tests.support import ports
from tests.support.box import ROOT, Box
from tests.support.engines import Engine

pytestmark = pytest.mark.e2e

TWO = """
cluster: none
services:
  redis: {{preset: redis, options: {{maxmemory: 64MiB}}, ports: {{redis: {0}}}}}
  postgres: {{preset: postgres, ports: {{postgres: {1}}}}}
"""


@pytest.fixture(scope="module")
def shared(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Redis and PostgreSQL, brought up once."""
    folder, taken = tmp_path_factory.mktemp("everyday"), ports.free(2)
    (folder / "envkit.yaml").write_text(TWO.format(*taken))
    name = f"e2e-day-{uuid.uuid4().hex[:6]}"
    box = Box(engine, name, folder, ("-f", str(folder / "envkit.yaml")), ROOT, taken)
    try:
        box("up", "--ttl", "3h").ok()
        yield box
    finally:
        left = box.close()
    assert not left, left


@pytest.fixture
def two(shared: Box, request: pytest.FixtureRequest) -> Iterator[Box]:
    """The same; repaired after a test that failed."""
    yield shared
    if request.node.stash.get(FAILED, False):
        print(shared("up"))


def listed(box: Box) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in box("list", "--json").ok().json["environments"]}


def test_it_is_listed_with_all_its_parts(two: Box) -> None:
    row = listed(two)[two.name]
    assert (row["state"], row["where"], row["held_by"]) == ("up", [two.engine.name], [str(two.folder)])
    assert row["began"] and row["expires"]
    kinds = sorted(part["kind"] for part in row["parts"])  # type: ignore[attr-defined]
    assert kinds == ["container", "container", "files", "network"]


def test_what_is_up_is_not_pruned(two: Box) -> None:
    said = two("prune", two.name, "--yes").ok()
    assert "nothing to prune" in said.out
    assert {*two.ids()} == {"redis", "postgres"}


def test_an_orphan_is_shown_first_and_then_taken(
    engine: Engine, two: Box, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its folder goes as a deleted checkout does; the environment beside it stays."""
    folder, taken = tmp_path_factory.mktemp("orphan"), ports.free(2)
    checkout = folder / "checkout"
    checkout.mkdir()
    (checkout / "envkit.yaml").write_text(TWO.format(*taken))
    box = Box(engine, f"e2e-day-{uuid.uuid4().hex[:6]}", folder, ("-f", str(checkout / "envkit.yaml")), ROOT, taken)
    try:
        box("up", "redis", "--ttl", "1ms").ok()
        asked = box("prune", box.name)
        assert asked.code == 2 and "--yes" in asked.err, asked
        assert "its time was over" in asked.out and f"envkit-{box.name}-redis" in asked.out
        assert box.ids(), "nobody said yes"
        shutil.rmtree(checkout)
        done = box("prune", box.name, "--yes", "--json").ok().json["pruned"]
        assert [(row["name"], row["problem"]) for row in done] == [(box.name, None)]
        assert box.left() == []
    finally:
        left = box.close()
    assert not left, left
    assert {*two.ids()} == {"redis", "postgres"}
