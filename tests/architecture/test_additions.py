"""Each kind of addition takes one file and one line of registration; all toys together go from `up` to `down`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from envkit.base import labels, registry
from envkit.drivers.runtimes.marked import carrying
from tests.e2e import embedded_box
from tests.support import ports
from tests.support.box import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.embedded]

TOYS = Path(__file__).parent / "toys"

LINES = {
    "export_format": 'registry.EXPORT_FORMATS["toy"] = "toybox.export_format"',
    "probe": 'registry.PROBES["toy"] = "toybox.probe"',
    "preset": 'registry.PRESETS["toy"] = "toybox.preset"',
    "store": 'registry.STORES["toy"] = "toybox.store"',
    "collector": 'registry.COLLECTORS += ("toybox.collector",)',
    "check": 'registry.CHECKS += ("toybox.check",)',
    "ci_service": 'registry.CI_SERVICES = {"toy": ("TOY_CI", "toybox.ci_service"), **registry.CI_SERVICES}',
    "verb": 'registry.VERBS["greet"] = "toybox.verb"',
    "cluster": 'registry.CLUSTERS["toy"] = registry.ClusterEntry("toybox.cluster")',
    "runtime": 'registry.RUNTIMES["toy"] = registry.RuntimeEntry("toybox.runtime", processes=True)',
}
"""The line that a contributor writes in `envkit/base/registry.py`, for each file."""

LANE = 'registry.LANES["toys"] = registry.LaneEntry("toy", "toy")'
"""The line of a lane, which needs no file."""

CONFIGURATION = """
name: toys
lane: toys
cluster: {{type: toy, namespaces: [toys]}}
services:
  box: {{preset: toy, options: {{word: bear}}, ports: {{web: {0}}}}}
"""


class Box:
    """A user with an envkit that has all toys."""

    def __init__(self, folder: Path) -> None:
        (port,) = ports.free()
        self.folder = folder
        (folder / "toybox").mkdir()
        for name in ("__init__", *LINES):
            shutil.copy(TOYS / f"{name}.py", folder / "toybox" / f"{name}.py")
        # every new Python process reads it, also the supervisor of `run`
        said = "\n".join(["from envkit.base import registry", *LINES.values(), LANE])
        (folder / "sitecustomize.py").write_text(f"{said}\n")
        (folder / "envkit.yaml").write_text(CONFIGURATION.format(port))
        self.box = embedded_box.box("toys", folder, "-f", str(folder / "envkit.yaml"), ports=(port,))
        path = os.pathsep.join([str(folder), str(ROOT)])
        self.environ = {**self.box.environ(), "PYTHONPATH": path, "ENVKIT_CI": "off"}

    def processes(self) -> list[int]:
        """Return the pids of the toy runtime's processes: those with its marker."""
        return [pid for pid, environ in carrying(labels.MARKER) if environ[labels.MARKER] == "toy-toys"]

    def __call__(self, *words: str, code: int = 0, **environ: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "envkit", *words], cwd=self.folder, env={**self.environ, **environ},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    embedded_box.needed()
    made = Box(tmp_path)
    yield made
    made("down")


def test_every_kind_of_addition_has_a_toy() -> None:
    tables = {
        name for name, value in vars(registry).items()
        if name.isupper() and isinstance(value, dict | tuple) and name != "LANES"
    }  # fmt: skip
    assert {line.split("registry.")[1].split()[0].split("[")[0] for line in LINES.values()} == tables


def test_toys_live_from_up_to_down(box: Box) -> None:
    assert "<toy" in box("up", TOY_CI="true", ENVKIT_CI="")
    assert "toy TOY_URL\n" in box("env", "--format", "toy")
    assert "/bear" in box("env", "--format", "json")
    assert "toys" in box("status")
    assert box.processes(), "the toy runtime started them"
    listed = {row["name"]: row for row in json.loads(box("list", "--json"))["environments"]}
    assert listed["toys"]["where"] == ["toys"]
    rows = {row["name"]: row for row in json.loads(box("status", "--json"))["services"]}
    assert rows["box"]["health"] == "ready"
    assert rows["cluster"]["health"] == "ready"
    assert box("greet", "--loud") == "hello toys!\n"
    assert "with a mark" in box("greet", "--help")
    assert "there are toys" in box("doctor")
    assert "toys put away" in box("reset")
    assert "toys 1 -> 1" in box("run", "--", "sh", "-c", 'test -n "$TOY_URL"')
    box("gather", "--artifacts", str(box.folder / "out"))
    (found,) = (box.folder / "out").rglob("toys.txt")
    assert found.read_text() == "toys of toys\n"
    assert [it.read_text() for it in (box.folder / "out").rglob("stores/box.txt")] == ["toys are well"]
    box("down")
    assert box.processes() == [], "only the toy runtime finds them"
    assert '"name": "toys"' not in box("list", "--json")


UNKNOWN = {
    "export_format": ("env", "--format", "toy"),
    "probe": ("plan",),
    "preset": ("plan",),
    "cluster": ("plan",),
    "verb": ("greet",),
    "ci_service": ("plan",),
}
"""Commands that exit with 2 if the line is missing."""


@pytest.mark.parametrize("lacking", [*UNKNOWN, "check"])
def test_without_its_line_a_toy_is_unknown(tmp_path: Path, lacking: str) -> None:
    """The line adds the toy, not the file alone."""
    made = Box(tmp_path)
    lines = [line for name, line in LINES.items() if name != lacking]
    (tmp_path / "sitecustomize.py").write_text("\n".join(["from envkit.base import registry", *lines, LANE]) + "\n")
    if lacking == "check":
        assert "there are toys" not in made("doctor")
    else:
        made(*UNKNOWN[lacking], code=2, ENVKIT_CI="toy" if lacking == "ci_service" else "off")
