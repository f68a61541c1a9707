"""Tests that run every command of README and the guides in order and compare the results with the documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.docs.reader import Reader, documents, everybodys
from tests.e2e import embedded_box
from tests.support import ports
from tests.support.box import Box
from tests.support.engines import Engine

pytestmark = pytest.mark.e2e

MARKS = {"embedded": [pytest.mark.embedded], "containers": [pytest.mark.docker, pytest.mark.kind]}

IN_CONTAINERS = ("README.md", "laptop.md", "services.md")
"""Documents that the tests also follow in containers; for all others, one lane proves as much as two."""

FOLLOWED = [
    pytest.param(lane, path, marks=MARKS[lane], id=f"{lane}-{path.relative_to(ROOT)}")
    for lane in MARKS
    for path in documents()
    if lane == "embedded" or path.name in IN_CONTAINERS
]


@pytest.fixture(scope="module")
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Yield a reader for each lane; the test fails if anything of the environment remains."""
    folder, chosen = tmp_path_factory.mktemp(f"reader-{request.param}"), everybodys()
    moved = tuple(port + int(chosen.get("ENVKIT_PORT_OFFSET", 0)) for port in ports.GATEWAY)
    name = chosen.get("ENVKIT_NAME", "gateway")
    if request.param == "containers":
        box = Box(Engine("docker"), name, folder, ports=moved)
    else:
        embedded_box.needed()
        box = embedded_box.box(name, folder, ports=moved)
    made = Reader(box, request.param, chosen)
    try:
        yield made
        box.untouched()
    finally:
        for one in sorted(made.done, key=lambda one: -one.seconds)[:12]:
            print(f"{one.seconds:5.1f} s  {one.command.block.where}  {one.command.text.splitlines()[0]}")
        left = made.close()
    assert not left, left


@pytest.mark.parametrize(("reader", "document"), FOLLOWED, indirect=["reader"])
def test_every_command_works(reader: Reader, document: Path) -> None:
    if document.name != "README.md":
        reader.up()
    done = reader.follow(document)
    print(f"{len(done)} commands in {sum(one.seconds for one in done):.1f} s")
