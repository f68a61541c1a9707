"""Blocks of a document: commands to type, files to write, and output that the document shows.

A block whose first line is `# some/file.yaml` is the content of that file. These comments may be above a block:

    <!-- in your repository -->                  commands run and files are written there, not in this checkout
    <!-- only in containers: REASON -->          the block applies to this lane; also `only in embedded`
    <!-- not run here: REASON -->                the reader skips the whole block
    <!-- not run here, COMMAND: REASON -->       the reader skips the commands that start with COMMAND
    <!-- output of `COMMAND` -->                 the text block is the output of COMMAND; `...` stands for any text;
                                                 `output of COMMAND, in containers` if the lanes differ
    <!-- not a configuration: WHAT -->           the YAML block is no envkit configuration

In a command's own comment, `until Ctrl-C` presses Ctrl-C after a while, and `exit code 4` states the expected code.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

TYPED = ("sh", "console")
SHOWN = ("text", "go")
WRITTEN = ("yaml", "python", "sql", "dockerfile")

_BLOCK = re.compile(r"((?:^ *<!--[^\n]*-->\n\n?)*)^( *)```([^\n]*)\n(.*?)^\2```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (.*?) -->")
_KNOWN = re.compile(
    r"(?P<place>in your repository)$"
    r"|only in (?P<lane>containers|embedded): (?P<why_lane>.+)"
    r"|not run here(?:, (?P<but>[^:]+))?: (?P<why>.+)"
    r"|output of `(?P<of>[^`]+)`(?:, in (?P<shown_in>containers|embedded))?$"
    r"|not a configuration: (?P<what>.+)"
)
_FILE = re.compile(r"(?:#|--|//) ([\w./-]*[\w-]\.\w+|[\w./-]*Dockerfile)\n")


class Unclear(Exception):
    """A block or a comment that the parser cannot interpret."""


@dataclass(frozen=True)
class Block:
    """One fenced block, and the meaning of the comments above it."""

    document: str
    line: int
    language: str
    text: str
    yours: bool = False
    lane: str = ""
    left_out: str = ""
    left_out_commands: dict[str, str] = field(default_factory=dict)
    output_of: str = ""
    shown_in: str = ""
    not_a_configuration: str = ""

    @property
    def where(self) -> str:
        """Return the block's place, for example `docs/run.md:12`."""
        return f"{self.document}:{self.line}"

    @property
    def file(self) -> str:
        """Return the name of the file in the block's first line, or an empty string."""
        found = _FILE.match(self.text)
        return found[1] if found and self.language not in TYPED else ""

    def in_lane(self, lane: str) -> bool:
        """Return whether the block applies to this lane."""
        return self.lane in ("", lane)


@dataclass(frozen=True)
class Command:
    """One command of a document, and the output that the document shows for it, or None."""

    block: Block
    text: str
    output: str | None = None

    @property
    def left_out(self) -> str:
        """Return why the reader does not type the command, or an empty string."""
        named = (why for begin, why in self.block.left_out_commands.items() if self.text.startswith(begin))
        return self.block.left_out or next(named, "")


def blocks(path: Path) -> list[Block]:
    """Return all blocks of a document in order, or raise `Unclear`."""
    text = path.read_text()
    document = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
    found = []
    for one in _BLOCK.finditer(text):
        line = text.count("\n", 0, one.end(1)) + 1
        said = _said(f"{document}:{line}", _MARK.findall(one[1]))
        content = re.sub(f"^{one[2]}", "", one[4], flags=re.MULTILINE)
        found.append(Block(document, line, one[3], content, **said))
        _check(found[-1])
    if len(re.findall(r"^ *```", text, re.MULTILINE)) != 2 * len(found):
        raise Unclear(f"{document}: a block is not closed")
    return found


def _said(where: str, marks: list[str]) -> dict[str, object]:
    said: dict[str, object] = {}
    for mark in marks:
        known = _KNOWN.match(mark)
        if not known:
            raise Unclear(f"{where}: the comment above the block is not known: {mark}")
        if known["place"]:
            said["yours"] = True
        elif known["lane"]:
            said["lane"] = known["lane"]
        elif known["but"]:
            commands: dict[str, str] = said.setdefault("left_out_commands", {})  # type: ignore[assignment]  # of mixed values
            commands[known["but"]] = known["why"]
        elif known["why"]:
            said["left_out"] = known["why"]
        elif known["of"]:
            said |= {"output_of": known["of"], "shown_in": known["shown_in"] or ""}
        else:
            said["not_a_configuration"] = known["what"]
    return said


def _check(block: Block) -> None:
    if block.language not in TYPED + SHOWN + WRITTEN:
        raise Unclear(
            f"{block.where}: a block is one of {', '.join(TYPED + SHOWN + WRITTEN)}; found {block.language!r}"
        )
    if block.language == "yaml" and not block.file and not block.not_a_configuration:
        raise Unclear(f"{block.where}: begin with `# NAME.yaml`, or say above it what it is if no configuration")
    typed = [one.text for one in commands(block)]
    for begin in block.left_out_commands:
        if not any(text.startswith(begin) for text in typed):
            raise Unclear(f"{block.where}: no command begins with {begin!r}")


def commands(block: Block) -> list[Command]:
    """Return the commands of a block.

    In `console` they are the lines after `$ `, in `sh` all lines. A command continues on the next line while a quote is
    open.
    """
    if block.language == "sh":
        return [Command(block, text) for text in _statements(block.text)]
    if block.language != "console":
        return []
    if not block.text.startswith("$ "):
        raise Unclear(f"{block.where}: a console's first line is `$ COMMAND`")
    found = []
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        text, _, output = part.partition("\n")
        found.append(Command(block, text, output))
    return found


def _statements(text: str) -> Iterator[str]:
    gathered: list[str] = []
    for line in text.splitlines():
        if not gathered and (not line.strip() or line.lstrip().startswith("#")):
            continue
        gathered.append(line)
        if _whole("\n".join(gathered)):
            yield "\n".join(gathered)
            gathered = []
    if gathered:
        raise Unclear("a command does not end: " + "\n".join(gathered))


def _whole(text: str) -> bool:
    """Return whether the shell would run the text: no open quote, no final backslash, no incomplete here-document."""
    until = re.search(r"<<-?'?(\w+)'?", text)
    if until:
        return text.splitlines()[-1].strip() == until[1] and "\n" in text
    if text.endswith("\\"):
        return False
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True
