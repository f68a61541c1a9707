"""Tests of exported variables: each format keeps every value unchanged, and the output masks secrets."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from collections.abc import Mapping

import dotenv
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envkit.inventory.export import formats, masked, render

NAMES = st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,8}\Z").filter(lambda name: name not in ("_", "IFS", "PATH", "HOME"))
NASTY = st.sampled_from([*"'\"\\$`\n\r #=!é😀\t;&%*~", "${X}", "$(id)", "`id`", "\\n"])
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
VALUES = st.lists(st.one_of(NASTY, CHARACTERS), max_size=12).map("".join)
VARIABLES = st.dictionaries(NAMES, VALUES, max_size=6)

CASES = [
    "", " ", "plain", "a b", "'", '"', "\\", "\\\\", "end\\", "\\'", "\\n", "$HOME", "${HOME}", "$(id)", "`id`", "a\nb",
    "\n", "trailing\n", "\r\n", "#no comment", "a #b", "=", "postgres://u:p%40ss@h:1/d?x=1&y=2",
    "it's $5 \"and\" `x`\\",
    "k€y", "-----BEGIN X-----\nab+/=\n-----END X-----\n", "!history", "~", "*", "\t", "\u2028", "\x7f", "export X=1",
]  # fmt: skip


def shell(text: str, names: list[str], *, preamble: str = "") -> dict[str, str]:
    """Return the values of those variables in a POSIX shell that has read the text."""
    script = preamble + text + "".join(f'printf "%s\\0" "${name}"\n' for name in names)
    done = subprocess.run(
        ["sh"], input=script.encode(), capture_output=True, check=True, env={"PATH": os.environ["PATH"]}
    )
    assert done.stderr == b""
    return dict(zip(names, done.stdout.decode().split("\0"), strict=False))


def evaluated(text: str, names: list[str]) -> dict[str, str]:
    """Return the values after `eval "$(envkit env)"`.

    The command substitution removes newlines at the end, and `eval` reads the rest.
    """
    done = subprocess.run(
        ["sh", "-c", 'eval "$(cat)"; ' + "".join(f'printf "%s\\0" "${name}"; ' for name in names)],
        input=text.encode(), capture_output=True, check=True, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.stderr == b""
    return dict(zip(names, done.stdout.decode().split("\0"), strict=False))


def python_dotenv(text: str) -> dict[str, str | None]:
    """Return the variables as python-dotenv reads them from a file, with universal newlines."""
    stream = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    return dict(dotenv.dotenv_values(stream=stream, interpolate=False))


def agreed(value: str) -> bool:
    """Return whether python-dotenv and the shells share a spelling for the value; see `envkit.inventory.export`."""
    escaped = "'" in value or "\r" in value or "\\\\" in value or value.endswith("\\")
    return not (escaped and re.search(r"[$`]", value))


def test_the_formats() -> None:
    assert formats() == ("dotenv", "shell", "json")
    variables = {"B": "1 2", "A": "x"}
    assert render(variables, "dotenv") == "A=x\nB='1 2'\n"
    assert render(variables, "shell") == "export A=x\nexport B='1 2'\n"
    assert render(variables, "json") == '{\n  "A": "x",\n  "B": "1 2"\n}\n'


@pytest.mark.parametrize("form", formats())
def test_nothing_is_nothing(form: str) -> None:
    assert render({}, form) == ("{}\n" if form == "json" else "")


@pytest.mark.parametrize("value", CASES)
def test_a_nasty_value_comes_back_from_every_format(value: str) -> None:
    given = {"A": value, "B": "next"}

    assert json.loads(render(given, "json")) == given
    assert evaluated(render(given, "shell"), ["A", "B"]) == given
    if agreed(value):
        assert python_dotenv(render(given, "dotenv")) == given
    if "\r" not in value:
        assert shell(render(given, "dotenv"), ["A", "B"], preamble="set -a\n") == given


@given(VARIABLES)
@settings(max_examples=25, deadline=None, database=None)
def test_every_value_comes_back_from_eval(variables: Mapping[str, str]) -> None:
    assert evaluated(render(variables, "shell"), list(variables)) == variables


@given(VARIABLES)
@settings(max_examples=100, deadline=None, database=None)
@example({"A": "trailing\n"})
@example({"A": "end\\"})
@example({"A": "two\\\\", "B": "'"})
def test_every_value_comes_back_from_a_dotenv_reader(variables: Mapping[str, str]) -> None:
    readable = {name: value for name, value in variables.items() if agreed(value)}

    assert python_dotenv(render(readable, "dotenv")) == readable


@given(VARIABLES)
@settings(max_examples=50, deadline=None, database=None)
def test_every_value_comes_back_from_json(variables: Mapping[str, str]) -> None:
    assert json.loads(render(variables, "json")) == variables


@pytest.mark.parametrize("value", ["`id`'", "$(id)'", "'\n`id`", '"; id; "', "'; id; '", "\\`id`'"])
def test_a_dotenv_file_that_is_sourced_runs_nothing(value: str) -> None:
    assert shell(render({"A": value}, "dotenv"), ["A"]) == {"A": value}


# Masks


@pytest.mark.parametrize(
    "name",
    ["POSTGRES_PASSWORD", "api_token", "MY_SECRET", "DB_PASSWD", "AWS_ACCESS_KEY_ID", "CREDENTIALS", "GATEWAY_TOKEN"],
)
def test_secrets_are_hidden_by_name(name: str) -> None:
    assert masked(name, "hunter2") == "********"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgres://u:hunter2@h:5432/d", "postgres://u:********@h:5432/d"),
        ("redis://:hunter2@h:6379/0", "redis://:********@h:6379/0"),
        ("a://u:one@h,b://u:two@h", "a://u:********@h,b://u:********@h"),
        ("host=h user=u password=hunter2 dbname=d", "host=h user=u password=******** dbname=d"),
        ("host=h password='two words' dbname=d", "host=h password=******** dbname=d"),
        ("postgres://h/d?user=u&password=hunter2&x=1", "postgres://h/d?user=u&password=********&x=1"),
        ("postgres://u@h/d", "postgres://u@h/d"),
        ("http://127.0.0.1:8080/a@b", "http://127.0.0.1:8080/a@b"),
        ("plain", "plain"),
    ],
)
def test_passwords_inside_urls_are_hidden(value: str, shown: str) -> None:
    assert masked("ANY_URL", value) == shown


def test_the_path_of_a_secret_is_no_secret() -> None:
    assert masked("GATEWAY_TOKEN_FILE", "/home/me/tokens/gateway") == "/home/me/tokens/gateway"
