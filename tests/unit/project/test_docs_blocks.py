"""Tests of the document parser: blocks, the comments above them, commands and shown output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import Block, Unclear, blocks, commands
from tests.docs.reader import documents
from tests.docs.session import steps
from tests.docs.showing import difference

ALL = [(path, block) for path in documents() for block in blocks(path)]


def read(tmp_path: Path, text: str) -> list[Block]:
    (tmp_path / "page.md").write_text(text)
    return blocks(tmp_path / "page.md")


def typed(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    """Return each command, and the reason if it is left out."""
    return [(one.text, one.left_out) for block in read(tmp_path, text) for one in commands(block)]


def scripts(tmp_path: Path, text: str, lane: str = "embedded") -> list[str]:
    return [step.script for step in steps(read(tmp_path, text), lane, Path("/here"), Path("/yours"), "docs-1")]


# Content of the documents


def test_every_block_of_the_documents_is_understood() -> None:
    assert sum(len(commands(block)) for _, block in ALL) > 60


def test_what_is_left_out_is_little_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """With `-s`, the test prints the list of commands that need another machine."""
    every = [one for _, block in ALL for one in commands(block)]
    left = [(one.block.where, one.text, one.left_out) for one in every if one.left_out]
    for where, text, why in left:
        print(f"{where}: {text.splitlines()[0]}: {why}")
    assert len(left) < len(every) / 4
    assert all(len(why) > 12 for _, _, why in left)


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=block.where) for _, block in ALL if block.language == "python"]
)
def test_python_in_the_documents_compiles_and_its_imports_are_there(block: Block) -> None:
    import ast

    tree = ast.parse(block.text, block.where)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), block.where, "exec"), {})


# Parsing


def test_commands_of_a_block_in_order_with_quotes_that_go_on(tmp_path: Path) -> None:
    text = "```sh\n# a remark\none   # said\n\ntwo 'a\nb' \\\n  c\ncat <<EOF\nit's\nEOF\n```\n"
    assert [one for one, _ in typed(tmp_path, text)] == ["one   # said", "two 'a\nb' \\\n  c", "cat <<EOF\nit's\nEOF"]


def test_a_console_has_commands_and_what_they_print(tmp_path: Path) -> None:
    (block,) = read(tmp_path, "```console\n$ one\nfirst\n$ two\n```\n")
    assert [(one.text, one.output) for one in commands(block)] == [("one", "first\n"), ("two", "")]


def test_what_is_not_run_here_has_a_reason(tmp_path: Path) -> None:
    text = "<!-- not run here, brew: needs macOS -->\n```sh\nbrew install kind\nkind version\n```\n"
    assert typed(tmp_path, text) == [("brew install kind", "needs macOS"), ("kind version", "")]
    assert scripts(tmp_path, text) == ["cd '/here'", "kind version"]
    whole = "<!-- not run here: needs root -->\n\n```sh\nsudo true\n```\n"
    assert scripts(tmp_path, whole) == []


def test_files_are_written_where_the_reader_works(tmp_path: Path) -> None:
    mark = "<!-- in your repository -->\n"
    text = f"{mark}```yaml\n# envkit.yaml\nname: x\n```\n{mark}```sh\nenvkit up\n```\n```sh\n./dev plan\n```\n"
    place, file, up, back, plan = scripts(tmp_path, text)
    assert (place, up, back, plan) == ("cd '/yours'", "envkit up", "cd '/here'", "./dev plan")
    assert "cat >'envkit.yaml' <<'THE-END-OF-IT'\n# envkit.yaml\nname: x\nTHE-END-OF-IT" in file


def test_a_configuration_that_is_only_shown_is_not_written(tmp_path: Path) -> None:
    assert scripts(tmp_path, "```yaml\n# envkit.yaml\nname: x\n```\n") == []


def test_comments_of_commands_say_how_they_end(tmp_path: Path) -> None:
    text = "```sh\nenv   # exit code 4\nlogs -f   # until Ctrl-C\nshow gateway test/gateway\n```\n"
    assert scripts(tmp_path, text)[1:] == [
        "ends_with 4 env   # exit code 4",
        "interrupted logs -f   # until Ctrl-C",
        "show docs-1 test/gateway",
    ]


def test_a_block_of_one_lane(tmp_path: Path) -> None:
    text = "<!-- only in containers: a kind node -->\n```sh\nkind get nodes\n```\n"
    assert scripts(tmp_path, text) == []
    assert scripts(tmp_path, text, "containers")[1:] == ["kind get nodes"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```\nx\n```\n", "a block is one of"),
        ("```bash\nx\n```\n", "a block is one of"),
        ("```yaml\na: 1\n```\n", "begin with `# NAME.yaml`"),
        ("<!-- not run: x -->\n```sh\nx\n```\n", "is not known: not run: x"),
        ("<!-- not run here -->\n```sh\nx\n```\n", "is not known"),
        ("<!-- not run here, brew: needs macOS -->\n```sh\napt update\n```\n", "no command begins with 'brew'"),
        ("```console\nno prompt\n```\n", "first line is"),
        ("```sh\necho 'a\n```\n", "does not end"),
        ("```sh\nx\n", "is not closed"),
    ],
)
def test_what_is_not_understood_is_a_failure(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Unclear, match=said):
        typed(tmp_path, text)


# Shown output


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("up in 20.3s\n", "up in 3s\n"),
        ("a  b\n", "a b   \n\n"),
        ("first\n...\nlast\n", "first\nx\ny\nlast\n"),
        ("first\n...\nlast\n", "first\nlast\n"),
        ("KUBECONFIG=...\n", "KUBECONFIG=/home/x\n"),
        ("environment gateway is up\n", "environment docs-1 is up\n"),
        ("✓ b 1.0s well\n✓ a 2.0s made\n", "[ 0.1s] a  done in 0.1 s: made\n[ 3s] b  done in 1 s: well\n"),
        ("a\n", "\x1b[32ma\x1b[0m\n"),
    ],
)  # fmt: skip
def test_what_differs_by_time_and_machine_only_is_the_same(shown: str, printed: str) -> None:
    assert difference(shown, printed, "docs-1") == ""


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a\n", "a\nb\n"),
        ("a\nb\n", "a\n"),
        ("...\nb\n", "a\n"),
        ("b\na\n", "a\nb\n"),
        ("✓ a 2.0s made\n", "[ 0.1s] a  create: is not there\n"),
        ("kept\n", "docs-1 kept\n"),
    ],
)
def test_anything_else_is_a_difference(shown: str, printed: str) -> None:
    assert printed in difference(shown, printed, "docs-1")
