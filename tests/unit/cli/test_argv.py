"""Tests of the order of words on the command line, with invoke and on the fast path without it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from envkit.cli.fast_path import parse_plain
from envkit.cli.flags import Flags
from envkit.cli.main import _services, reorder_argv
from envkit.cli.options import COMMANDS, COMMON, SHORT, carried_out, verbatim
from envkit.cli.verb import every
from tests.unit.cli.program import invoke, program


def words(line: str) -> str:
    return " ".join(reorder_argv(["envkit", *line.split()])[1:])


# Order of words


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", "--list"),
        ("up", "up"),
        ("up redis", "up --service redis"),
        ("up redis postgres --build", "up --service redis --service postgres --build"),
        ("up --name x redis", "up --name x --service redis"),
        ("up --name=x redis", "up --name=x --service redis"),
        ("up -n x redis -f y", "up -n x --service redis -f y"),
        ("logs --tail 5 redis", "logs --tail 5 --service redis"),
        ("logs redis --tail 5", "logs --service redis --tail 5"),
        ("--name x up redis", "up --name x --service redis"),
        ("--name=x --json up", "up --name=x --json"),
        ("-e podman --debug status", "status -e podman --debug"),
        ("--repeat 3 run --keep", "run --repeat 3 --keep"),
        ("--junit a.xml --ci up redis", "up --junit a.xml --ci --service redis"),
        ("--list-all up", "--list-all up"),
        ("-n x", "-n x"),
        ("--json", "--json"),
        ("env --format json", "env --format json"),
        ("status extra", "status extra"),
        ("--help", "--help"),
        ("--version", "--version"),
        ("--list up", "--list up"),
        ("run -- pytest -k x --name y", "run"),
        ("--name x run --keep -- a -- b", "run --name x --keep"),
        ("up --set services.redis.memory=1GiB redis", "up --set services.redis.memory=1GiB --service redis"),
        ("restart redis", "restart --service redis"),
        ("plan redis", "plan --service redis"),
    ],
)
def test_words_are_arranged_as_invoke_wants_them(typed: str, meant: str) -> None:
    assert words(typed) == meant


def test_every_common_option_with_a_value_may_stand_before_the_command() -> None:
    for name, default in COMMON.items():
        option = f"--{name.replace('_', '-')}"
        given = [option] if default is False else [option, "v"]
        assert reorder_argv(["envkit", *given, "up"])[1:] == ["up", *given]
    for letter in SHORT.values():
        assert reorder_argv(["envkit", f"-{letter}", "v", "up", "s"])[1:] == ["up", f"-{letter}", "v", "--service", "s"]


def test_a_value_that_looks_like_a_service_is_none() -> None:
    assert _services(["--service", "a", "b", "--engine", "podman", "c"]) == [
        "--service", "a", "--service", "b", "--engine", "podman", "--service", "c"
    ]  # fmt: skip
    assert {name for name, it in every().items() if it.words == "service"} == {"up", "plan", "logs", "restart", "shell"}


def test_what_follows_the_first_dashes_is_verbatim() -> None:
    assert verbatim(["envkit", "run", "--", "sh", "-c", "echo  $A", "--", "", "--keep"]) == [
        "sh", "-c", "echo  $A", "--", "", "--keep"
    ]  # fmt: skip
    assert verbatim(["envkit", "run"]) == []
    assert verbatim(["envkit", "run", "--"]) == []


# Plain words, without invoke


@pytest.mark.parametrize(
    "typed",
    [
        "up", "up redis postgres --build", "--name x up redis", "-n x --json status", "--name=x env --format json",
        "logs --tail 5 redis", "logs --service redis", "-o a --overlay b plan -s k=v --set l=w --port-offset 5",
        "run --keep -- pytest -k x --name y", "down --force", "restart redis", "up --profile ci --lane embedded",
        "-e podman -f a.yaml --debug env",
    ],
)  # fmt: skip
def test_plain_words_are_understood_as_invoke_understands_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    def noted(name: str) -> Callable[..., None]:
        def note(flags: Flags, **own: Any) -> None:
            seen.append((name, {**own, **{key: it for key, it in vars(flags).items() if key != "environ"}}))

        note.__name__, note.__signature__ = name, inspect.signature(COMMANDS[name])  # type: ignore[attr-defined]  # functions take attributes
        return note

    argv = ["envkit", *typed.split()]
    commands = {name: noted(name) for name in COMMANDS}
    found = parse_plain(argv, commands)
    assert found is not None
    carried_out(*found)
    assert invoke(capsys, program(*commands.values()), *argv[1:])[0] == 0
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "typed",
    [
        "", "--help", "--list", "--version", "up --help", "up -h", "xyzzy", "staus", "status extra", "up --nmae x",
        "up --name", "up --name --json", "up --json=x", "up --name a --name b", "down --build", "test --fast",
        "--build up", "up --port_offset 5", "run pytest", "up -nx", "up -n=x", "up --name=", "-", "env -",
    ],
)  # fmt: skip
def test_words_that_are_not_plain_are_left_to_invoke(typed: str) -> None:
    assert parse_plain(["envkit", *typed.split()], COMMANDS) is None
