"""Tests that a configuration that expands or nests too far is a fault with its place, reported within seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from envkit.base import bounded, kubeconfig
from envkit.base.errors import ClusterError, ConfigError, UsageError
from envkit.base.paths import Paths
from envkit.config import yamlfile
from envkit.config.documents import UnsupportedDocument, laid_over
from envkit.config.interpolate import Broken, interpolate
from envkit.config.load import Request, load
from envkit.config.merge import Merged
from envkit.config.references import Inside, Scope, UnresolvedReference, resolve
from envkit.config.yamlfile import line_of
from envkit.drivers.clusters import manifests
from envkit.evidence import junit
from envkit.inventory import state
from envkit.operations import compose
from envkit.operations.init import init

QUICK = 8.0
"""Limit in seconds of processor time, because the machine may be busy.

Without a bound, each case takes minutes, uses all memory or crashes the interpreter.
"""


@contextmanager
def quickly() -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < QUICK


def aliases(levels: int = 30, each: int = 10) -> str:
    """Return YAML of nested lists with aliases; it expands to `each` to the power of `levels` values."""
    rows = ["a0: &a0 [x, y]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * each)}]" for n in range(1, levels)]
    return "\n".join(rows) + "\n"


def merges(levels: int = 30) -> str:
    """Return YAML in which each mapping merges the previous mapping twice."""
    rows = ["a0: &a0 {x: 1}"]
    rows += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: 1}}" for n in range(1, levels)]
    return "\n".join(rows) + "\n"


BOMBS: dict[str, Callable[[], str]] = {
    "aliases": aliases,
    "merges": merges,
    "an anchor in itself": lambda: "a: &a [*a]\n",
    "a merge of itself": lambda: "a: &a\n  <<: *a\n",
    "nested in brackets": lambda: "a: " + "[" * 100_000 + "]" * 100_000,
    "nested in braces": lambda: "{a: " * 50_000 + "}" * 50_000,
    "nested in dashes": lambda: "- " * 50_000 + "x",
    "nested by indentation": lambda: "".join(f"{' ' * n}a:\n" for n in range(2000)),
    "nested by anchors": lambda: "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 5000)),
    "many values": lambda: "a: [" + "x, " * 100_000 + "x]",
    "a number without end": lambda: f"a: {'9' * 100_000}",
    "too large": lambda: "# " + "x" * (5 << 20),
}
"""Texts that are a fault in every document that envkit reads."""


def faults(folder: Path, text: str, *sets: str, **environ: str) -> list[str]:
    """Return the faults of a configuration, each with its place."""
    (folder / "envkit.yaml").write_text(text)
    try:
        load(Request.of({"HOME": "/", **environ}, folder, sets=sets))
    except ConfigError as error:
        return [str(fault) for fault in error.faults]
    return []


@pytest.mark.parametrize("name", BOMBS)
def test_a_configuration_that_is_too_much(name: str, tmp_path: Path) -> None:
    with quickly():
        (said,) = faults(tmp_path, BOMBS[name]())

    assert said.startswith("envkit.yaml: ")
    assert len(said) < 300


@pytest.mark.parametrize("name", ["aliases", "merges", "nested in brackets", "a number without end"])
def test_the_value_of_a_set_that_is_too_much(name: str, tmp_path: Path) -> None:
    bomb = BOMBS[name]()
    with quickly():
        (said,) = faults(tmp_path, "services: {}", f"services.x.env.A={bomb}")

    assert said.startswith("--set: services.x.env.A: ")


def test_a_set_of_three_thousand_parts(tmp_path: Path) -> None:
    with quickly():
        (said,) = faults(tmp_path, "services: {}", ".".join(["a"] * 3000) + "=1")

    assert said.endswith("...: the path has 3000 parts; at most 20 are allowed")


def test_files_that_extend_one_another_without_end(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"p{number}.yaml").write_text(f"extends: p{number + 1}\n")
    with quickly():
        said = faults(tmp_path, "extends: p0\n")

    assert said == ["p28.yaml: extends: extends more than 30 files, one after the other"]


def test_ten_thousand_unknown_keys(tmp_path: Path) -> None:
    with quickly():
        said = faults(tmp_path, "".join(f"key{n}: 1\n" for n in range(10_000)))

    assert len(said) == 201
    assert "envkit.yaml: has 10000 faults; the first 200 are listed" in said


def test_what_is_at_the_bounds_works(tmp_path: Path) -> None:
    deep = "{a: " * 90 + "1" + "}" * 90
    with quickly():
        assert faults(tmp_path, f"cluster: {{type: kind, config: {deep}}}\n") == []
        assert faults(tmp_path, "images: {" + ", ".join(f"i{n}: j" for n in range(20_000)) + "}") == []


def test_anchors_and_merges_as_people_write_them_still_work() -> None:
    text = "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: [*a, *a]\nd: {<<: [*a, *b]}\n"

    assert yamlfile.parse(text).data == {
        "a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}], "d": {"x": 1, "y": 2},
    }  # fmt: skip


# Interpolation and references


@pytest.mark.parametrize(
    "text",
    ["${a" * 300_000, "${A}" * 300_000, "$" * 1_000_000, "${a.b}" * 200_000, "$$" * 400_000 + "{a.b}",
     "${a.b" * 200_000, "${" + "a." * 500_000 + "}", "${" + "x" * 1_000_000],
    ids=["opened", "unset", "dollars", "references", "escaped", "half", "parts", "long"],
)  # fmt: skip
def test_a_text_of_a_megabyte_is_interpolated_quickly(text: str) -> None:
    with quickly():
        made = interpolate({"a": text}, {})["a"]

    assert len(made.message) < 2000 if isinstance(made, Broken) else made


def test_a_chain_of_nested_braces_is_told_once(tmp_path: Path) -> None:
    chain = "${a" * 1000 + "}" * 1000
    with quickly():
        (said,) = faults(tmp_path, f"services: {{x: {{image: i, env: {{A: '{chain}'}}}}}}")

    assert said.startswith("envkit.yaml: services.x.env.A: ")
    assert len(said) < 1000


def chained(tmp_path: Path, levels: int, each: int, end: str = "x") -> str:
    """Return a service with a chain of variables, in which each variable refers `each` times to the next one."""
    rows = [f"      V{n}: '{f'${{self.env.V{n + 1}}}' * each}'" for n in range(levels)]
    return "services:\n  x:\n    image: i\n    env:\n" + "\n".join([*rows, f"      V{levels}: '{end}'"]) + "\n"


@pytest.mark.parametrize(("levels", "each"), [(28, 2), (1000, 1)])
def test_references_that_grow_without_end(tmp_path: Path, levels: int, each: int) -> None:
    with quickly():
        said = faults(tmp_path, chained(tmp_path, levels, each, "x" * 10))

    assert said
    assert all(one.startswith("envkit.yaml: services.x.env.V") for one in said)
    assert any("MiB" in one or "more than 30 variables" in one for one in said)


def test_references_that_grow_to_nothing_take_no_time(tmp_path: Path) -> None:
    (tmp_path / "envkit.yaml").write_text(chained(tmp_path, 28, 8, ""))
    environment = load(Request.of({"HOME": "/"}, tmp_path))
    with quickly():
        assert resolve("${x.env.V0}", Scope(environment, Inside(environment), "x")) == ""


def test_a_chain_says_through_which_variables(tmp_path: Path) -> None:
    (tmp_path / "envkit.yaml").write_text(chained(tmp_path, 5, 1))
    environment = load(Request.of({"HOME": "/"}, tmp_path))
    service = environment.services["x"].model_copy(
        update={"env": {f"V{n}": f"${{self.env.V{n + 1}}}" for n in range(99)} | {"V99": ""}}
    )
    longer = environment.model_copy(update={"services": {"x": service}})

    with pytest.raises(UnresolvedReference, match=r"goes through more than 30 variables: x\.env\.V0 -> x\.env\.V1"):
        resolve("${x.env.V0}", Scope(longer, Inside(longer), "x"))


def test_laying_many_values_is_no_walk_for_each() -> None:
    merged = Merged()
    with quickly():
        for _ in range(2):
            merged.lay({"images": {f"i{n}": "x" for n in range(50_000)}}, "a file")

    assert merged.origin(("images", "i7")) == "a file"


# Other documents


@pytest.mark.parametrize("name", BOMBS)
def test_a_kubeconfig_that_is_too_much(name: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(BOMBS[name]())
    with quickly(), pytest.raises(ClusterError):
        kubeconfig.read(tmp_path / "config")


@pytest.mark.parametrize("name", ["aliases", "merges", "an anchor in itself", "nested in brackets", "nested in dashes"])
def test_a_manifest_that_is_too_much(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(f"apiVersion: v1\n---\n{BOMBS[name]()}")
    with quickly(), pytest.raises(ConfigError, match=r"m\.yaml: line"):
        manifests.load([tmp_path / "m.yaml"])


@pytest.mark.parametrize("name", BOMBS)
def test_a_compose_file_and_a_package_file_that_are_too_much(name: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(BOMBS[name]())
    with quickly(), pytest.raises(UsageError):
        compose.to_envkit(tmp_path / "compose.yaml")

    (tmp_path / "compose.yaml").unlink()
    (tmp_path / "package.json").write_text(BOMBS[name]())
    (tmp_path / "pyproject.toml").write_text("a = " + "[" * 5000)
    with quickly():
        init(tmp_path, None)


@pytest.mark.parametrize("name", ["aliases", "merges", "an anchor in itself", "nested in brackets"])
def test_a_file_with_values_laid_over_that_is_too_much(name: str) -> None:
    with quickly(), pytest.raises(UnsupportedDocument):
        laid_over(BOMBS[name](), {"a.b": 1}, "x.yaml")


def test_json_that_is_nested_too_deeply(tmp_path: Path) -> None:
    deep = "[" * 100_000
    with pytest.raises(UnsupportedDocument):
        laid_over(deep, {"a": 1}, "x.json")
    with pytest.raises(ValueError, match="nested too deeply"):
        bounded.loaded_json(deep)

    paths = Paths(tmp_path, "x")
    paths.folder.mkdir()
    paths.state.write_text(deep)
    assert state.read(paths) is None


def test_marks_of_a_file_that_is_too_much(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(aliases())
    with quickly():
        assert line_of(tmp_path / "x.yaml", "a1") == 0


def test_a_report_of_tests_with_entities_is_not_read(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE t [<!ENTITY a0 "x">{entities}]><testsuite>&a11;</testsuite>'
    (tmp_path / "bomb.xml").write_text(bomb)
    (tmp_path / "deep.xml").write_text("<testsuite>" * 100_000)
    with quickly():
        (note,) = junit.read(tmp_path / "bomb.xml").notes
        (other,) = junit.read(tmp_path / "deep.xml").notes

    assert "document type or entities" in note
    assert "not read to its end" in other


def test_weighing_counts_what_python_would_build() -> None:
    root = bounded.composed("a: &a [1, 2]\nb: [*a, *a]\n", yaml.SafeLoader)[1]

    assert bounded._Weights(10)._weigh(root).values == 1 + 3 + 7
    assert json.dumps(bounded.load("a: {b: [1]}", yaml.SafeLoader)) == '{"a": {"b": [1]}}'
