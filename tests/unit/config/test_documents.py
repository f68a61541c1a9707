"""Tests of values merged into YAML and JSON: the named values change, all other values stay as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from envkit.config.documents import UnsupportedDocument, laid_over

WRITTEN = """\
# comments go
server: &ports {port: 8080, version: 1.10}
database:
  host: localhost
  verbose: no
  mode: 0644
  when: 30s
  since: 2020-01-01
list: [{a: 1}, {a: 2}]
other: *ports
empty:
text: |
  a
  b
"""


def over(text: str = WRITTEN, name: str = "x.yaml", /, **values: Any) -> str:
    return laid_over(text, {path.replace("__", "."): value for path, value in values.items()}, name)


def test_what_is_not_named_keeps_its_spelling() -> None:
    text = over(database__host="postgres")
    for line in ("version: 1.10", "verbose: no", "mode: 0644", "when: 30s", "since: 2020-01-01", "text: |\n  a\n  b\n"):
        assert line in text
    before, after = yaml.safe_load(WRITTEN), yaml.safe_load(text)
    before["database"]["host"] = "postgres"
    assert after == before


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("database.host", "postgres"), ("database.port", 5432), ("database.password", "5432"), ("database.tls", True),
        ("database.token", "yes"), ("database.nothing", ""), ("list.1.a", "x"), ("empty.deep.key", 1.5),
        ("new.list", ["a", {"b": 1}]), ('"a.b".c', "x"), ("text", "c: d # e"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["x.yaml", "x.json"])
def test_a_value_is_there_as_it_was_meant(name: str, path: str, value: object) -> None:
    text = json.dumps(yaml.safe_load(WRITTEN), default=str) if name == "x.json" else WRITTEN
    found: Any = yaml.safe_load(laid_over(text, {path: value}, name))
    for key in ["a.b", "c"] if path.startswith('"') else path.split("."):
        found = found[int(key) if isinstance(found, list) else key]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("name", ["x.yaml", "x.json"])
def test_a_document_can_be_made_from_nothing(name: str) -> None:
    assert yaml.safe_load(over("", name, a__b="c")) == {"a": {"b": "c"}}


@pytest.mark.parametrize(
    ("text", "name", "path", "reason"),
    [
        ("a: 1", "x.yaml", "a.b", "a.b: a is a single value in the file, not a mapping"),
        ('{"a": 1}', "x.json", "a.b", "a.b: a is a single value in the file, not a mapping"),
        ("a: [1]", "x.yaml", "a.1", "a.1: expected the number of an item of the list, 0 to 0"),
        ('{"a": [1]}', "x.json", "a.b", "a.b: expected the number of an item of the list, 0 to 0"),
        ("- 1", "x.yaml", "a", "expected a mapping at the top"),
        ("[]", "x.json", "a", "expected a JSON object at the top"),
        ("a: [", "x.yaml", "a", "is not YAML: "),
        ("a: 1\n---\nb: 2\n", "x.yaml", "a", "is not YAML: "),
        ("{", "x.json", "a", "is not JSON: "),
    ],
)
def test_what_cannot_be_laid_over_says_why(text: str, name: str, path: str, reason: str) -> None:
    with pytest.raises(UnsupportedDocument, match=reason.replace("[", r"\[")):
        laid_over(text, {path: "x"}, name)
