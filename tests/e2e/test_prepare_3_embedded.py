"""Tests with processes that hold data and have lost their programs.

envkit removes a process only after it has all prerequisites of the next one.
"""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from tests.e2e.embedded_box import EmbeddedBox, box
from tests.support import ports

pytestmark = [pytest.mark.e2e, pytest.mark.embedded]


@dataclass
class Kept:
    """A Redis with data, and a service whose program is the user's own file."""

    box: EmbeddedBox
    file: Path
    tool: Path
    text: dict[str, Any]
    port: int

    def write(self, **change: dict[str, Any]) -> None:
        services = {name: {**it, **change.get(name, {})} for name, it in self.text.items()}
        self.file.write_text(yaml.safe_dump({"cluster": "none", "services": services}))

    def seen(self) -> tuple[dict[str, str], str, int]:
        """Return processes, data, and the exit code of `status`."""
        self.write()
        with redis.Redis(port=self.port, decode_responses=True) as store:
            return self.box.ids(), str(store.get("kept")), self.box("status").code


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    (port,) = ports.free()
    tool = tmp_path / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    tool.chmod(0o755)
    text = {
        "redis": {"preset": "redis", "options": {"maxmemory": "64MiB"}, "ports": {"redis": port}},
        "web": {"process": {"command": [str(tool)]}},
    }
    file = tmp_path / "envkit.yaml"
    made = Kept(box(f"e2e-kept-{uuid.uuid4().hex[:6]}", tmp_path, "-f", str(file)), file, tool, text, port)
    made.write()
    try:
        made.box("up").ok()
        with redis.Redis(port=port) as store:
            store.set("kept", "yes")
        yield made
    finally:
        left = made.box.close()
    assert not left, left


def test_a_program_that_is_gone_leaves_what_still_runs(kept: Kept) -> None:
    before = kept.seen()
    shutil.move(kept.tool, kept.tool.with_name("away"))
    smaller = {"options": {"maxmemory": "32MiB"}}

    for change in ({"redis": smaller, "web": {"env": {"X": "1"}}}, {"redis": smaller, "web": {"needs": ["redis"]}}):
        kept.write(**change)
        said = kept.box("up")
        assert said.code == 3 and f"{kept.tool} is not on PATH" in said.err, said
        assert "removing the old one" not in said.err, said
        assert kept.seen() == before, said

    kept.write(redis=smaller)
    said = kept.box("run", "--", "true")
    assert said.code == 2 and "  - redis: changed: command, memory, process.command" in said.err, said
    assert kept.seen() == before, said
