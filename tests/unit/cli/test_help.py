"""Tests of the help text: it lists each command once, and each example is a valid command line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from invoke.collection import Collection
from invoke.parser import Parser

from envkit.cli import helptext
from envkit.cli.command import HELP
from envkit.cli.main import reorder_argv, run
from envkit.cli.options import COMMANDS
from envkit.cli.tasks import namespace
from envkit.cli.verb import GROUPS, every

EXAMPLES = [pytest.param(name, line, id=line) for name, it in every().items() for line, _ in it.examples]
ROOT = Path(__file__).parents[3]


def texts() -> dict[str, str]:
    return {name: task.__doc__ or "" for name, task in namespace.tasks.items()}


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_an_example_is_a_command_line_that_the_program_takes(name: str, line: str) -> None:
    """The test parses each example with invoke and the real tasks, as `main.run` does."""
    words = reorder_argv(["envkit", *shlex.split(line)])[1:]
    (parsed,) = Parser(contexts=namespace.to_contexts()).parse_argv(words)
    assert parsed.name == name


def test_a_wrong_example_would_be_found() -> None:
    from invoke.exceptions import ParseError

    with pytest.raises(ParseError):
        Parser(contexts=namespace.to_contexts()).parse_argv(reorder_argv(["envkit", "up", "--nmae", "x"])[1:])


def test_every_command_has_examples_a_group_and_options_that_are_explained() -> None:
    assert set(namespace.task_names) == set(COMMANDS)
    assert all(verb.examples for verb in every().values())
    assert all(verb.group in GROUPS for verb in every().values())
    said = [helptext.of_command("envkit", name, HELP, 200) for name in COMMANDS]
    silent = [line for text in said for line in text.splitlines() if line.startswith("  -") and "  " not in line[4:]]
    assert silent == [], "an option without a word in cli.command.HELP"


@pytest.mark.parametrize("columns", [40, 80, 100])
def test_help_fits_on_the_terminal(columns: int) -> None:
    pages = [helptext.overview("./dev", texts(), columns)]
    pages += [helptext.of_command("./dev", name, HELP, columns) for name in COMMANDS]
    wide = [line for page in pages for line in page.splitlines() if len(line) > columns and " " in line.strip()]
    assert [line for line in wide if not line.startswith(("  ./dev", "Usage", "`"))] == []
    assert all(f"  {name}" in pages[0] for name in COMMANDS)


def help_of(capsys: pytest.CaptureFixture[str], *words: str, tasks: Collection = namespace) -> tuple[str, str, int]:
    with pytest.raises(SystemExit) as ended:
        run(tasks, ["envkit", *words])
    said = capsys.readouterr()
    return said.out, said.err, int(ended.value.code or 0)


@pytest.mark.parametrize("words", [("up", "--help"), ("up", "-h"), ("help", "up"), ("--help", "up")])
def test_help_of_a_command_is_asked_for_in_any_way(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    out, _, code = help_of(capsys, *words)
    assert code == 0
    assert "[OPTIONS] [SERVICE...]" in out
    assert "--port-offset N" in out
    assert "examples:" in out


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",), ("--list",)])
def test_the_overview_too(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    out, _, code = help_of(capsys, *words)
    assert code == 0
    assert "this machine:" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("staus",), "did you mean 'status'?"), (("up", "--nmae", "x"), "did you mean --name?"),
        (("help", "staus"), "did you mean 'status'?"), (("xyzzy",), "there is no command 'xyzzy'"),
        (("status", "extra"), "status takes no argument 'extra'"),
        (("run", "pytest"), "run takes its command after --"),
        (("up", "--name"), "--name needs a value"),
    ],
)  # fmt: skip
def test_what_is_mistyped_is_told_with_what_was_meant(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    _, err, code = help_of(capsys, *words)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("list",), ("--help",), ("up", "--help"), ("completion", "bash")])
def test_a_reader_that_has_enough_ends_it_without_a_word(
    tmp_path: Path, words: tuple[str, ...], unbuffered: str
) -> None:
    """`./dev list | head -0` closes the pipe before envkit writes its first line."""
    read, write = os.pipe()
    os.close(read)
    said = subprocess.run(
        [sys.executable, "-m", "envkit", *words], stdout=write, stderr=subprocess.PIPE, timeout=60, text=True,
        cwd=ROOT, env={**os.environ, "ENVKIT_STATE_DIR": str(tmp_path), "DOCKER_HOST": "unix:///nowhere",
                       "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    os.close(write)
    assert said.returncode == 141
    assert "Traceback" not in said.stderr
    assert "Exception ignored" not in said.stderr
