"""Tests that envkit detects the other distribution `envkit` beside itself, reports it once, and says what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from envkit.base import installed
from tests.docs.blocks import ROOT


@pytest.mark.parametrize(
    ("names", "version"),
    [
        ((), ""),
        (("envkit", "envkit_orchestrator-0.1.0.dist-info", "envkit-checkout.pth"), ""),
        (("envkit", "envkit_orchestrator-0.1.0.dist-info", "envkit-0.7.1.dist-info"), "0.7.1"),
        (("envkit-0.7.0.post1.dist-info",), "0.7.0.post1"),
    ],
)
def test_its_version_is_read_from_its_folder(tmp_path: Path, names: tuple[str, ...], version: str) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    assert installed.other_version(str(tmp_path)) == version


def test_a_folder_that_cannot_be_listed_has_none(tmp_path: Path) -> None:
    assert installed.other_version(str(tmp_path / "x.zip")) == ""


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """Return a folder with this package and the other one's metadata; the other one's `__init__.py` replaces ours."""
    (tmp_path / "envkit").mkdir()
    for path in (ROOT / "envkit").iterdir():
        (tmp_path / "envkit" / path.name).symlink_to(path)
    (tmp_path / "envkit/__init__.py").unlink()
    (tmp_path / "envkit/__init__.py").write_text("class Env:\n    pass\n")
    (tmp_path / "envkit-0.7.1.dist-info").mkdir()
    return tmp_path


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("list",), ("list", "--json")], ids=" ".join)
def test_every_command_names_it_once_and_works(both: Path, words: tuple[str, ...]) -> None:
    code = f"import sys; sys.path.insert(0, {str(both)!r}); from envkit.cli.fast_path import main; main()"
    state = {"ENVKIT_STATE_DIR": str(both / "state"), "PATH": "/nowhere", "HOME": str(both)}
    done = subprocess.run((sys.executable, "-c", code, *words), cwd=both, env=state, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the distribution envkit 0.7.1 is installed beside envkit-orchestrator") == 1
    assert "-m pip uninstall envkit" in done.stderr and "envkit 0.7.1" not in done.stdout
    if "--json" in words:
        assert json.loads(done.stderr.splitlines()[0])["event"] == "warning"


def test_completion_is_silent(both: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(both)!r}); from envkit.cli.fast_path import main; main()"
    asked = (sys.executable, "-c", code, "__complete", "up", "--")
    done = subprocess.run(asked, cwd=both, env={"HOME": str(both)}, capture_output=True, text=True)
    assert done.stderr == ""
