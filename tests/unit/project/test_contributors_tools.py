"""Tests of the files that set up a contributor's tools: the pre-commit hooks and the development container."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.docs.blocks import ROOT
from tests.runner import STATIC

HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
]
CONTAINER = ROOT / ".devcontainer/devcontainer.json"

KNOWN = {"name": str, "image": str, "features": dict, "remoteUser": str, "postCreateCommand": str}
"""Keys of the development container and their types in the format's specification."""


def argv(hook: dict[str, Any]) -> tuple[str, ...]:
    """Return a hook's command in the form of `./dev test`.

    The program has no folder; the checked folder follows the options.
    """
    program, *options = hook["entry"].removeprefix(".venv/bin/").split()
    folder = ["."] if hook.get("pass_filenames", True) else []
    return (program, *(option for option in options if option != "--force-exclude"), *folder)


def container() -> dict[str, Any]:
    """Return the container's description; the format allows comment lines."""
    lines = CONTAINER.read_text().splitlines()
    found: dict[str, Any] = json.loads("\n".join(line for line in lines if not line.lstrip().startswith("//")))
    return found


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_is_a_check_of_dev_test_with_the_program_of_the_checkout(hook: dict[str, Any]) -> None:
    assert (hook["language"], hook["entry"][:10]) == ("system", ".venv/bin/")
    assert argv(hook) in STATIC


def test_lint_types_and_layers_have_a_hook() -> None:
    assert {argv(hook)[0] for hook in HOOKS} == {"ruff", "mypy", "lint-imports"}


def test_no_hook_is_downloaded() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {one["repo"] for one in repositories} == {"local"}


def test_the_container_has_the_form_of_its_format() -> None:
    found = container()
    assert {key: type(value) for key, value in found.items()} == KNOWN
    assert all(re.fullmatch(r"[\w.-]+(/[\w.-]+)+:\d+", name) for name in found["features"])
    assert all(isinstance(options, dict) for options in found["features"].values())


def test_the_container_has_the_oldest_python_an_engine_and_go() -> None:
    found = container()
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert found["image"].rpartition(":")[2] == oldest
    assert {name.rpartition("/")[2].partition(":")[0] for name in found["features"]} == {"docker-in-docker", "go"}


def test_the_container_makes_the_virtual_environment_and_does_not_claim_to_be_proved() -> None:
    assert container()["postCreateCommand"] == "./dev --help"
    assert "Nobody has started it yet" in CONTAINER.read_text()
