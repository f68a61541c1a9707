"""Tests of an engine that stops during `up`: envkit reports that first, and names what it could not take down."""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.box import ROOT, Box, eventually
from tests.support.engines import Engine
from tests.support.stopping import Front

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

SERVICE = """\
cluster: none
services:
  web: {{image: {image}, command: [sleep, "600"], probe: {{type: exec, command: ["false"]}}, timeout: 60s}}
"""

CASES = [
    pytest.param(SERVICE, "waiting: ", id="service"),
    pytest.param("cluster: {{type: kind}}\n", "kind: Starting control-plane", id="kind", marks=pytest.mark.kind),
]


@pytest.fixture
def docker() -> Iterator[Engine]:
    engine = Engine("docker")
    yield engine
    engine.close()


@pytest.fixture
def front(docker: Engine) -> Iterator[Front]:
    with tempfile.TemporaryDirectory(prefix="ek") as folder:  # unix sockets need a short path
        made = Front(Path(urlsplit(docker.url).path), Path(folder) / "d.sock")
        yield made
        made.cut()


@pytest.mark.parametrize(("text", "moment"), CASES)
def test_that_it_stopped_is_said_first_and_what_is_left(
    docker: Engine, front: Front, tmp_path: Path, text: str, moment: str
) -> None:
    file = tmp_path / "envkit.yaml"
    file.write_text(text.format(image=docker.python))
    box = Box(docker, f"e2e-stop-{uuid.uuid4().hex[:6]}", tmp_path, ("-f", str(file)), ROOT)
    try:
        running = box.start("up", DOCKER_HOST=front.url)
        assert eventually(lambda: moment in running.err() or running.process.poll() is not None, 90), running.err()
        front.cut()
        said = running.wait(120)

        assert said.code == 3, said
        error = said.err.partition("\nerror: ")[2].splitlines()
        first = rf"docker at {re.escape(front.url)} stopped answering at \d\d:\d\d:\d\d: "
        assert re.match(first, error[0]), said
        assert error[1].startswith("what this run made could not be taken down, and may still be there: "), said
        assert len(error) < 12 and "kubeadm" not in "\n".join(error), said
        assert "start the engine again" in said.err, said
        assert box.engine.rows(box.name), "it is true: it is still there"

        front.begin()
        box("down", DOCKER_HOST=front.url).ok()
    finally:
        left = box.close()
    assert not left, left
