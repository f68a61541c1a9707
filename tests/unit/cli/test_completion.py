"""Tests of shell completion: the answers of the program, and the completions of a real shell."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from envkit.base.paths import Paths
from envkit.cli import completion_words
from envkit.cli.options import COMMANDS
from envkit.cli.verbs import completion
from envkit.inventory import state

ROOT = Path(__file__).parents[3]
CONFIGURATION = """\
name: shop
cluster: {type: none}
services:
  cache: {preset: redis}
  catalogue: {command: [sleep, "1"]}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "envkit.yaml").write_text(CONFIGURATION)
    (tmp_path / "other.yaml").write_text("services: {queue: {preset: redis}}\n")
    monkeypatch.chdir(tmp_path)
    for name in ("shop", "nightly"):
        state.write(Paths(tmp_path / "state", name), state.Record(name, str(tmp_path)))
    return tmp_path


def found(line: str, folder: Path) -> list[str]:
    words = [*shlex.split(line), ""] if line.endswith(" ") or not line else shlex.split(line)
    own = {"test": ("--fast",)}
    return completion_words.candidates(words, own, {"ENVKIT_STATE_DIR": str(folder / "state"), "HOME": str(folder)})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("st", ["status"]), ("te", ["test"]), ("test --f", ["--fast"]), ("up ", ["cache", "catalogue"]),
        ("up cache ", ["catalogue"]), ("up cat", ["catalogue"]), ("logs --tail ", []),
        ("logs --tail 5 ca", ["cache", "catalogue"]),
        ("--name x up --bu", ["--build"]), ("up --lane em", ["embedded"]), ("up --lane=em", ["--lane=embedded"]),
        ("up --lane = em", ["embedded"]), ("up -e p", ["podman"]), ("env --format d", ["dotenv"]),
        ("down -n ", ["nightly", "shop"]), ("prune ", ["nightly", "shop"]), ("prune n", ["nightly"]),
        ("shell c", ["cache", "catalogue", "cluster"]), ("completion ", ["bash", "fish", "zsh"]),
        ("help sta", ["status"]), ("images p", ["pull"]), ("images save ", []),
        ("run -- pytest ", []), ("up -f other.yaml ", ["queue"]), ("up -f nowhere.yaml --bu", ["--build"]),
        ("up --profile o", ["other"]), ("gather --artifacts ", []), ("status ", []), ("xyzzy ", []), ("test ", []),
    ],
)  # fmt: skip
def test_what_may_come_next(line: str, expected: list[str], folder: Path) -> None:
    assert found(line, folder) == expected


def test_every_command_and_every_option_comes(folder: Path) -> None:
    assert set(found("", folder)) == {"help", "test", *COMMANDS}
    for name in COMMANDS:
        assert {"--help", "--json", "--name"} <= set(found(f"{name} -", folder))


def test_a_broken_configuration_is_no_error_of_the_shells(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "envkit.yaml").write_text("{")
    assert completion_words.complete(["up", ""], {}) == 0
    assert capsys.readouterr() == ("", "")


# A real shell


def program(folder: Path) -> Path:
    """Write the program at its own path, like the `dev` script of a repository, and return the path."""
    path = folder / "bin/dev"
    path.parent.mkdir()
    path.write_text(
        f'#!/bin/sh\nENVKIT_PROGRAM=$0 PYTHONPATH={shlex.quote(str(ROOT))} exec {sys.executable} -m envkit "$@"\n'
    )
    path.chmod(0o755)
    return path


DRIVER = """
eval "$({program} completion bash)" || exit 9
complete -p dev
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_envkit_dev {called}
printf '<%s>\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_bash_completes_it(folder: Path) -> None:
    path = program(folder)
    text = DRIVER.format(program=path, called=path, words=f"{path} up ca")
    said = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=60, check=True, cwd=folder)
    assert said.stdout.splitlines() == ["complete -o default -F _envkit_dev dev", "<cache>", "<catalogue>"]


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_another_program_of_that_name_is_not_asked(folder: Path) -> None:
    other = folder / "dev"
    other.write_text(f"#!/bin/sh\ntouch {folder}/called\n")
    other.chmod(0o755)
    text = DRIVER.format(program=program(folder), called=other, words=f"{other} up ca")
    said = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=60, check=True, cwd=folder)
    assert said.stdout.splitlines()[1:] == ["<>"]
    assert not (folder / "called").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("called", ["envkit", "/some where/dev"])
def test_a_script_is_one_that_its_shell_can_read(shell: str, called: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    text = completion.script(shell, called)
    said = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, timeout=30)
    assert (said.returncode, said.stderr) == (0, "")
