"""Other repositories: the wheel alone in a fresh environment, and the tasks by one line under plain `invoke`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.support.actions import Runner
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
    """The `bin` of a fresh virtual environment that has the wheel and nothing else of this repository.

    It is made by the GitHub action's first step.
    """
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"  # the build leaves no trace in the checkout
    kept = shutil.ignore_patterns(".git", ".venv*", ".*_cache", "__pycache__", "dist", "build")
    shutil.copytree(ROOT, sources, ignore=kept)
    runner = Runner(folder, folder, {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")})
    (install, _) = yaml.safe_load((sources / "action.yml").read_text())["runs"]["steps"]
    step = runner.step(install["run"], ENVKIT_ACTION_SOURCE=str(sources), ENVKIT_ACTION_VERSION="")
    assert step.code == 0, step.log
    shutil.rmtree(sources)
    assert shutil.which("envkit", path=runner.environ["PATH"]) == str(folder / "envkit/path/envkit")
    assert shutil.which("python3", path=runner.environ["PATH"]) == shutil.which("python3"), (
        "the job's own is still first"
    )
    return folder / "envkit/bin"


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
