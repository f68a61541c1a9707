"""Tests of other repositories: the wheel alone in a new virtual environment, and the tasks under plain `invoke`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.embedded_box import box
from tests.support import ports
from tests.support.installing import call, plain_environ

pytestmark = pytest.mark.e2e

COMMANDS = ("up", "down", "run", "env", "status", "plan", "logs", "restart")
TASKS = "from envkit.cli.tasks import namespace\n"


def said_by(argv: Sequence[str | Path], cwd: Path, code: int = 0, **environ: str) -> str:
    """Return the output of a command that must end with `code`."""
    done = call(argv, cwd, {**plain_environ(), **environ}, code)
    return done.stdout + done.stderr


@pytest.fixture
def installed(by_action: Path) -> Path:
    """Return the `bin` folder of a new virtual environment with the wheel and nothing else of this repository."""
    return by_action / "bin"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return the folder of another repository."""
    folder = tmp_path / "another"
    folder.mkdir()
    return folder


def test_the_program_lists_its_commands(installed: Path, elsewhere: Path) -> None:
    said = said_by([installed / "envkit", "--list"], elsewhere)
    assert {line.split()[0] for line in said.splitlines() if line.startswith("  ")} >= set(COMMANDS)
    assert said_by([installed / "envkit", "--version"], elsewhere).strip()


@pytest.mark.docker
def test_shipped_profiles_come_with_it(installed: Path, elsewhere: Path, tmp_path: Path) -> None:
    for profile in ("gateway", "datastorage", "e2e"):
        said = said_by(
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
    said = said_by([installed / "invoke", "--list"], elsewhere)
    assert {line.split()[0] for line in said.splitlines() if line.startswith("  ")} >= set(COMMANDS)
    deeper = elsewhere / "some/folder"
    deeper.mkdir(parents=True)
    words = ["--name", f"e2e-tasks-{os.getpid()}", "--engine", "docker"]
    assert "web" in said_by([installed / "invoke", "plan", *words], deeper, **state)
    said_by([installed / "invoke", "status", *words], deeper, code=4, **state)


def test_beside_tasks_of_ones_own(installed: Path, elsewhere: Path) -> None:
    (elsewhere / "tasks.py").write_text(
        "from envkit.cli.tasks import namespace as envkit\n"
        "from invoke import Collection, task\n\n"
        "@task\ndef mine(context):\n    print('mine ran')\n\n"
        "namespace = Collection(mine)\nnamespace.add_collection(envkit, 'env')\n"
    )
    assert "mine ran" in said_by([installed / "invoke", "mine"], elsewhere)
    assert "env.up" in said_by([installed / "invoke", "--list"], elsewhere)


def test_a_whole_life_by_plain_invoke(installed: Path, elsewhere: Path, tmp_path: Path) -> None:
    """Run up, env, status, a command and down by `invoke`, in an environment of processes."""
    (port,) = ports.free()
    (elsewhere / "tasks.py").write_text(TASKS)
    (elsewhere / "envkit.yaml").write_text(
        f"cluster: none\nservices: {{redis: {{preset: redis, ports: {{redis: {port}}}}}}}\n"
    )
    made = box(f"e2e-invoke-{os.getpid()}", tmp_path, ports=(port,))
    words = ("--name", made.name, "--lane", "embedded")
    environ = {"ENVKIT_STATE_DIR": str(made.state)}
    try:
        assert "up" in said_by([installed / "invoke", "up", *words], elsewhere, **environ)
        given = call(
            [installed / "invoke", "env", *words, "--format", "json"], elsewhere, {**plain_environ(), **environ}
        )
        assert json.loads(given.stdout)["REDIS_PORT"] == str(port)
        assert "redis" in said_by([installed / "invoke", "status", *words], elsewhere, **environ)
        command = ("--", "sh", "-c", "echo it is at $REDIS_PORT")
        assert f"it is at {port}" in said_by([installed / "invoke", "run", *words, *command], elsewhere, **environ)
        said_by([installed / "invoke", "down", *words], elsewhere, **environ)
        assert made.left() == []
    finally:
        left = made.close()
    assert not left, left
