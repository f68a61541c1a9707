"""Tests that all decisions (docs/adr) have one form, and that the index lists each with its title."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

FOLDER = ROOT / "docs/adr"
DECISIONS = sorted(FOLDER.glob("[0-9]*.md"))

FORM = ["Status", "Context", "Decision", "Consequences"]
OPTIONAL = "Alternatives"


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_the_form_of_all(page: Path) -> None:
    text = page.read_text()
    parts = re.findall(r"^\*\*(\w+)\.\*\* ", text, re.MULTILINE)
    assert [part for part in parts if part != OPTIONAL] == FORM
    assert parts[-1] == "Consequences"
    assert re.match(rf"# {int(page.name[:4])}\. \S", text)


def test_numbers_are_in_order_and_none_is_missing() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_the_index_lists_every_decision_by_its_title() -> None:
    listed = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \| .+\? \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    titles = [page.read_text().partition("\n")[0] for page in DECISIONS]
    assert [(f"# {number}. {title}", path) for number, title, path in listed] == [
        (title, page.name) for title, page in zip(titles, DECISIONS, strict=True)
    ]
