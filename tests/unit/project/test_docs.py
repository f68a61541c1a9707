"""Tests that the documents are correct: configurations load, links have a target, commands exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from envkit.cli.main import reorder_argv, run
from envkit.cli.options import SHORT
from envkit.cli.tasks import namespace
from envkit.cli.verb import every
from envkit.config import presets, reference
from envkit.config.load import Request, load
from envkit.config.models import Environment
from envkit.config.schema import schema
from envkit.datastorage.settings import Settings

ROOT = Path(__file__).parents[3]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "tests/host/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WHOLE = re.compile(r"# ([\w-]+\.yaml)\n")
"""Pattern for the first line of a block that is a complete configuration; the group is the file's name."""

BESIDE = {
    "catalogue/Dockerfile": "FROM scratch\n",
    "deploy/config.yaml": "logging: {level: info}\n",
    "db/migrations/001_first.sql": "-- +goose Up\nSELECT 1;\n",
    "deploy/crds/crd.yaml": "{}",
    "services/catalogue/Dockerfile": "FROM scratch\n",
    "services/catalogue/rules.json": "{}",
    "services/shop/config.yaml": "servers: [{name: x}]\n",
}
"""Files that the examples name."""

SET = {"KUBERNAUT_CI_ARTIFACT_TAG": "pr-123"}
"""Variables that an example needs for its image."""


def write_beside(folder: Path) -> None:
    for name, content in BESIDE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(language: str) -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        for found in FENCE.finditer(document.read_text()):
            if found[1] == language:
                yield document, found[2]


WHOLES = [
    pytest.param(text, id=f"{shown(path)}-{n}") for n, (path, text) in enumerate(blocks("yaml")) if WHOLE.match(text)
]


def test_there_are_configurations_to_load() -> None:
    assert len(WHOLES) >= 8


@pytest.mark.parametrize("text", WHOLES)
def test_a_configuration_in_the_documents_loads(text: str, tmp_path: Path) -> None:
    write_beside(tmp_path)
    name = WHOLE.match(text)[1]  # type: ignore[index]  # no match fails the test
    (tmp_path / name).write_text(text)
    assert load(Request.of({"HOME": str(tmp_path), **SET}, tmp_path, file=name)).files


@pytest.mark.parametrize("text", WHOLES)
def test_an_editor_finds_no_fault_in_it(text: str) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="checks against the schema")
    # Loading accepts two forms that the schema rejects so far: a port `auto:8080`, and a variable in a name.
    known = re.sub(r"\bauto:\d+", "auto", text).replace("${SUITE:-shop}", "shop")
    jsonschema.Draft202012Validator(schema()).validate(yaml.safe_load(known))


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    text = FENCE.sub("", document.read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http://", "https://")):
            continue
        path, _, part = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        if part:
            headings = re.findall(r"^#+ (.*)$", FENCE.sub("", target.read_text()), re.MULTILINE)
            assert part in map(anchor, headings), link


# Commands


SAID = ("error:", "another ", "envkit met")
"""Prefixes of messages that could be mistaken for commands."""


def commands() -> Iterator[str]:
    """Yield every `./dev ...` or `envkit ...` command in the documents' code, as one line each."""
    for document in DOCUMENTS:
        text = document.read_text()
        code = [found[2] for found in FENCE.finditer(text) if found[1] in ("sh", "console", "yaml", "text")]
        code += [word for word in re.findall(r"`([^`\n]+)`", FENCE.sub("", text)) if not word.startswith(SAID)]
        for line in "\n".join(code).splitlines():
            yield from re.findall(
                r"(?:^|[\s(])(?:\./dev|run: (?:exec )?envkit|uvx --from \S+ envkit) ([a-z-][^)`#|&]*)", line
            )


def test_the_readme_names_commands() -> None:
    assert len(list(commands())) > 10


@pytest.mark.parametrize("typed", sorted({line.strip() for line in commands()}))
def test_a_command_in_the_documents_exists_with_its_options(typed: str) -> None:
    words = reorder_argv(["envkit", *shlex.split(re.sub(r"\[[^]]*\]|\.\.\.|[\"']", "", typed))])[1:]
    if words[0] in ("test", "pictures"):  # commands of this repository's own `dev`
        assert set(words[1:]) <= {"--fast"}
        return
    if words[0].startswith("--"):
        assert words[0] in ("--list", "--version", "--help")
        return
    task = namespace[words[0]]
    known = {name for argument in task.get_arguments() for name in argument.names}
    options = {word.partition("=")[0] for word in words[1:] if word.startswith("-")} - {"--help"}
    assert options <= {f"--{name.replace('_', '-')}" for name in known} | {f"-{letter}" for letter in SHORT.values()}
    if words[0] not in every() or every()[words[0]].words != "service":
        plain = [word for before, word in pairwise(words) if before[0] != "-" and word[0] != "-"]
        assert not plain


def test_the_help_names_no_option_that_means_something_else(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(namespace, ["envkit", "--help"])
    out = capsys.readouterr().out
    assert "restart" in out
    assert "sudo" not in out
    assert "--config" not in out


def test_the_readmes_port_offset_gives_room_for_a_second_environment(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    offsets = {int(found) for found in re.findall(r"--port-offset (\d+)", text)}
    assert offsets
    own = next(found[2] for found in FENCE.finditer(text) if WHOLE.match(found[2]))
    (tmp_path / "envkit.yaml").write_text(own)
    write_beside(tmp_path)
    for offset in offsets:
        for given in ({"profile": "gateway"}, {"file": "envkit.yaml"}):
            first, second = (
                load(Request.of({}, tmp_path, port_offset=moved, **given)).host_ports() for moved in (0, offset)
            )
            assert not set(first) & set(second)


# Generated and complete documents


def test_the_reference_is_current() -> None:
    document = ROOT / reference.DOCUMENT
    assert document.read_text() == reference.written(document.read_text()), "run `python -m envkit.config.reference`"


def parts() -> Iterator[tuple[str, dict[str, Any]]]:
    whole = Environment.model_json_schema()
    yield "", whole
    yield from whole["$defs"].items()
    for name, preset in presets.every().items():
        yield name, preset.options.model_json_schema()


def test_every_key_says_what_it_means() -> None:
    silent = [
        f"{part}.{key}"
        for part, node in parts()
        for key, value in node["properties"].items()
        if not reference.meaning(value)
    ]
    assert silent == []
    assert {part for part, _ in parts()} - {""} - set(presets.names()) == set(reference.ORDER)


def test_every_variable_of_the_service_is_documented() -> None:
    text = (ROOT / "docs/datastorage.md").read_text()
    assert [name for name in Settings.model_fields if f"`{name.upper()}`" not in text] == []


def test_every_metric_of_the_service_is_documented() -> None:
    text = (ROOT / "docs/datastorage.md").read_text()
    source = (ROOT / "envkit/datastorage/metrics.py").read_text()
    names = re.findall(r'(?:counter|gauge)\(\s*"(\w+)"', source)
    assert names
    assert [name for name in names if f"`datastorage_{name}" not in text] == []


MESSAGES = re.findall(r"^### `(.+)`$", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)


def source() -> str:
    """Return the text of all source files of envkit, with split strings joined."""
    files = [*(ROOT / "envkit").rglob("*.py"), ROOT / "dev"]
    return re.sub(r'"\s*\n?\s*f?"', "", "\n".join(path.read_text() for path in files))


def says(piece: str, said: str) -> bool:
    """Return whether the source contains the piece, whole or in two parts; envkit builds some messages from two."""
    cuts = [found.start() for found in re.finditer("[ :]", piece)]
    return piece in said or any(piece[:cut] in said and piece[cut:].strip() in said for cut in cuts)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_to_look_up_is_one_that_envkit_says(message: str) -> None:
    """Words in capitals in a message stand for values that envkit fills in."""
    said = re.sub(r"\{[^{}]*\}", "\0", source())
    pieces = [piece.strip() for piece in re.split(r"\b[A-Z]+\b", message)]
    assert any(len(piece) > 7 for piece in pieces)
    assert [piece for piece in pieces if not says(piece, said)] == []


def test_exit_codes_are_all_explained() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text()
    assert [code for code in (0, 2, 3, 4, 125, 130, 143) if f"| {code} |" not in text] == []
