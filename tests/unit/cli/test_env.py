"""Tests of `env`, which reads only the record, and of the errors for wrong arguments of commands."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from envkit.base.paths import Paths
from envkit.cli.flags import Flags
from envkit.cli.tasks import namespace
from envkit.inventory import state
from tests.unit.cli.program import invoke


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Write the record and the configuration of an environment named `t`; return its paths."""
    monkeypatch.setenv("ENVKIT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ENVKIT_") and name != "ENVKIT_STATE_DIR"]:
        monkeypatch.delenv(name)
    (tmp_path / "envkit.yaml").write_text("name: t\nservices: {}\n")
    paths = Paths(tmp_path / "state", "t")
    state.write(paths, state.Record("t", str(tmp_path), variables={"A": "1 2", "B": "x"}))
    return paths


def test_env_prints_nothing_but_the_variables(up: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(capsys, namespace, "env") == (0, "export A='1 2'\nexport B=x\n", "")
    assert invoke(capsys, namespace, "env", "--format", "dotenv") == (0, "A='1 2'\nB=x\n", "")
    code, out, _ = invoke(capsys, namespace, "--json", "env")
    assert (code, json.loads(out)) == (0, {"A": "1 2", "B": "x"})


def test_env_in_a_format_that_is_none_is_a_usage_error(up: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = invoke(capsys, namespace, "env", "--format", "xml")

    assert (code, out) == (2, "")
    assert "--format is one of dotenv, shell, json, got 'xml'" in err


def test_env_of_what_is_not_up_says_what_to_do(up: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = invoke(capsys, namespace, "env", "--name", "other")

    assert (code, out) == (4, "false\n"), 'or `eval "$(envkit env)" && pytest` would test'
    assert "environment other is not up" in err
    assert "up --name other" in err
    assert invoke(capsys, namespace, "env", "--name", "other", "--format", "dotenv")[:2] == (4, "")


def test_env_of_what_has_gone_since_says_what_and_repairs_nothing(
    up: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    state.write(up, state.Record("t", "/", variables={"A": "1"}, ports={"db.main": port}))

    code, out, err = invoke(capsys, namespace, "env")

    assert (code, out) == (4, "false\n")
    assert f"does not answer any more: db.main (port {port})" in err
    assert "repairs it" in err


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["logs", "--tail", "few"], "--tail takes a number of lines"),
        (["restart"], "restart needs the name of a service"),
        (["run"], "run needs a command after --"),
    ],
)
def test_usage_errors_of_commands(
    up: Paths, capsys: pytest.CaptureFixture[str], argv: list[str], expected: str
) -> None:
    code, out, err = invoke(capsys, namespace, *argv)

    assert (code, out) == (2, "")
    assert expected in err
    assert "next: " in err or argv == ["logs", "--tail", "few"]


def test_a_suggested_command_finds_the_same_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVKIT_PROGRAM", "./dev")

    assert Flags().command("up") == "./dev up"
    assert Flags(file="my file.yaml", name="x").command("up") == "./dev up --file 'my file.yaml' --name x"
