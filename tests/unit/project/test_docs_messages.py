"""Tests of docs/troubleshooting.md: it has an entry for each error message in envkit's source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from envkit.base import errors
from tests.docs.blocks import ROOT
from tests.unit.project.test_docs import source

GUIDE = (ROOT / "docs/troubleshooting.md").read_text()

HEADINGS = re.findall(r"^### `(.+)`$", GUIDE, re.MULTILINE)

DOCUMENTED = [
    *HEADINGS,
    "step NAME met an error that envkit did not expect:",
    *(code for row in re.findall(r"^\| (`[^|]+) \|", GUIDE, re.MULTILINE) for code in re.findall(r"`([^`]+)`", row)),
]
"""The headings, and the first column of the tables."""

CLASSES = {
    name
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, errors.EnvkitError) and found is not errors.EnvkitError
}

SELF_EXPLAINED = {"Cancelled", "StepsFailed", "ConfigError"}
"""Errors without an entry.

Ctrl-C needs none; `StepsFailed` lists errors with entries; a fault names its file and path.
"""

COMPOSED = {
    "NotReady": "redis should give PONG: not within 3 s; last seen: nothing",
    "HolderError": "environment web of this machine belongs to /here, and this is /there",
    "PortTaken": "port 16380 (wanted by redis) is held by pid 7 (redis-server)",
}
"""Example messages of errors for which no single place in the source holds the whole text."""

SHORTEST = 12
"""The smallest number of fixed letters in a message; a shorter text consists of filled-in values."""


@dataclass(frozen=True)
class Site:
    """A place in the source that raises an error: its class, and its text with a gap for each filled-in value."""

    where: str
    kind: str
    text: str

    @property
    def says(self) -> bool:
        """Return whether the message has text of its own besides the text of another error."""
        return max(map(len, self.text.split("\0"))) >= SHORTEST


def sites() -> Iterator[Site]:
    for path in sorted((ROOT / "envkit").rglob("*.py")):
        if path.name.startswith("fake") or "datastorage" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES and node.args:
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield Site(where, node.func.id, literal(node.args[0]))


def literal(node: ast.expr) -> str:
    """Return the text of an expression, with a gap for each part that is known only at run time."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) for part in node.values)
    return literal(node.left) + literal(node.right) if isinstance(node, ast.BinOp) else "\0"


def means(documented: str, text: str) -> bool:
    """Return whether a documented message matches this text.

    The fixed words must be in the same order; words in capitals match any value. A text also matches if it contains the
    longest fixed part.
    """
    pieces = [piece.strip(" :") for piece in re.split(r"\b[A-Z]+\b|\.\.\.", documented)]
    kept = [re.escape(piece) for piece in pieces if piece]
    longest = max(pieces, key=len)
    return bool(re.search(".*?".join(kept), text, re.DOTALL)) or (len(longest) >= SHORTEST and longest in text)


ALL = [site for site in sites() if site.kind not in SELF_EXPLAINED and site.says]


def test_there_are_many_ways_to_fail() -> None:
    assert len(ALL) > 70


@pytest.mark.parametrize("site", ALL, ids=lambda site: site.where)
def test_an_error_can_be_looked_up(site: Site) -> None:
    said = site.text.replace("\0", "X")
    assert any(means(one, site.text) for one in DOCUMENTED), f"docs/troubleshooting.md does not name: {said}"


@pytest.mark.parametrize("said", COMPOSED.values(), ids=COMPOSED)
def test_an_error_put_together_from_parts_can_be_looked_up(said: str) -> None:
    assert any(means(one, said) for one in DOCUMENTED)


def test_every_kind_of_error_is_among_them() -> None:
    abstract = {"EnvironmentFailed"}
    assert CLASSES - SELF_EXPLAINED - abstract - {*COMPOSED} - {site.kind for site in ALL} == set()


@pytest.mark.parametrize("documented", [one for one in DOCUMENTED if one not in HEADINGS])
def test_what_a_table_names_is_said_somewhere(documented: str) -> None:
    longest = max((piece.strip(" :") for piece in re.split(r"\b[A-Z]+\b|\.\.\.|[;,'{}]", documented)), key=len)
    assert longest in source()


def test_exit_codes_of_all_errors_are_explained() -> None:
    codes = {getattr(errors, name).exit_code for name in CLASSES} | {errors.OK}
    assert [code for code in codes if f"| {code} |" not in GUIDE] == []


def test_a_path_is_never_part_of_a_message_to_look_up() -> None:
    assert [one for one in DOCUMENTED if Path(one.partition(" ")[0]).is_absolute()] == []
