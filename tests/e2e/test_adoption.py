"""Other repositories: the wheel alone in a fresh environment, and the tasks by one line under plain `invoke`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.box import ROOT

pytestmark = pytest.mark.e2e

COMMANDS = ("up", "down", "run", "env", "status", "plan", "logs", "restart")
TASKS = "from envkit.cli.tasks import namespace\n"


def call(argv: Sequence[str | Path], cwd: Path, code: int = 0, **environ: str) -> str:
    """Standard output of a command that ends with `code`."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("ENVKIT_", "PYTHON"))}
    done = subprocess.run(argv, cwd=cwd, env={**inherited, **environ}, capture_output=True, text=True, timeout=240)
    assert done.returncode == code, f"{argv} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh virtual environment that has the wheel and nothing else of this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"  # the build leaves no trace in the checkout
    kept = shutil.ignore_patterns(".git", ".venv*", ".*_cache", "__pycache__", "dist", "build")
    shutil.copytree(ROOT, sources, ignore=kept)
    python = folder / "venv/bin/python"
    call([sys.executable, "-m", "venv", folder / "venv"], folder)
    call([python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, sources], folder)
    (wheel,) = folder.glob("envkit-*.whl")
    call([python, "-m", "pip", "install", "--quiet", "--no-compile", wheel], folder)
    shutil.rmtree(sources)
    return python.parent


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another repository."""
    folder = tmp_path / "another"
    folder.mkdir()
    return folder


def test_the_program_lists_its_commands(installed: Path, elsewhere: Path) -> None:
    said = call([installed / "envkit", "--list"], elsewhere)
    assert {line.split()[0] for line in said.splitlines() if line.startswith("  ")} >= set(COMMANDS)
    assert call([installed / "envkit", "--version"], elsewhere).strip()


@pytest.mark.docker
def test_shipped_profiles_come_with_it(installed: Path, elsewhere: Path, tmp_path: Path) -> None:
    for profile in ("gateway", "datastorage", "e2e"):
        said = call(
            [installed / "envkit", "plan", "--profile", profile, "--name", f"e2e-wheel-{os.getpid()}", "-e", "docker"],
            elsewhere,
            ENVKIT_STATE_DIR=str(tmp_path / "state"),
            ENVKIT_OVERLAY="standins",
        )
        assert "create" in said and "would change something" in said, said


@pytest.mark.docker
def test_one_line_in_another_repositorys_tasks(installed: Path, elsewhere: Path, tmp_path: Path) -> None:
    (elsewhere / "tasks.py").write_text(TASKS)
    (elsewhere / "envkit.yaml").write_text(
        "cluster: none\nservices:\n  web: {image: docker.io/library/python:3.12-slim, command: [sleep, '600']}\n"
    )
    state = {"ENVKIT_STATE_DIR": str(tmp_path / "state"), "ENVKIT_OVERLAY": "standins"}
    said = call([installed / "invoke", "--list"], elsewhere)
    assert {line.split()[0] for line in said.splitlines() if line.startswith("  ")} >= set(COMMANDS)
    deeper = elsewhere / "some/folder"
    deeper.mkdir(parents=True)
    words = ["--name", f"e2e-tasks-{os.getpid()}", "--engine", "docker"]
    assert "web" in call([installed / "invoke", "plan", *words], deeper, **state)
    call([installed / "invoke", "status", *words], deeper, code=4, **state)


def test_beside_tasks_of_ones_own(installed: Path, elsewhere: Path) -> None:
    (elsewhere / "tasks.py").write_text(
        "from envkit.cli.tasks import namespace as envkit\n"
        "from invoke import Collection, task\n\n"
        "@task\ndef mine(context):\n    print('mine ran')\n\n"
        "namespace = Collection(mine)\nnamespace.add_collection(envkit, 'env')\n"
    )
    assert "mine ran" in call([installed / "invoke", "mine"], elsewhere)
    assert "env.up" in call([installed / "invoke", "--list"], elsewhere)
