"""Tests of a Docker that rejects old clients, as version 29 does: no command uses an API version that it rejects."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support import ports
from tests.support.box import ROOT, Box
from tests.support.engines import Engine
from tests.support.young_docker import refusing

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

REDIS = "cluster: none\nservices: {{redis: {{preset: redis, options: {{maxmemory: 64MiB}}, ports: {{redis: {}}}}}}}\n"


WORDS = """plan; up; up; status; logs; restart redis; pause; up; list; reset; gather; run -- true; down"""


def test_no_command_speaks_what_it_refuses(tmp_path: Path) -> None:
    engine, refused = Engine("docker"), list[str]()
    (port,) = ports.free()
    file = tmp_path / "envkit.yaml"
    file.write_text(REDIS.format(port))
    box = Box(engine, f"e2e-young-{uuid.uuid4().hex[:6]}", tmp_path, ("-f", str(file)), ROOT, (port,))
    speaks, real = engine.api.version()["ApiVersion"], Path(urlsplit(engine.url).path)
    with (
        tempfile.TemporaryDirectory(prefix="ek") as folder,  # unix sockets need a short path
        refusing(real, Path(folder) / "d.sock", speaks, refused) as url,
    ):
        try:
            for words in WORDS.split("; "):
                said = box(*words.split(), DOCKER_HOST=url)
                assert not refused, (said, refused)
                said.ok()
        finally:
            left = box.close()
            engine.close()
    assert not left, left
