"""Blocks of a document: what is to be typed, what is to be written into files, what is shown.

A block's first line `# some/file.yaml` makes it that file. Comments above a block say what a reader sees from the text:

    <!-- in your repository -->                  typed or written there, not in the checkout of this project
    <!-- only in containers: REASON -->          or `only in embedded`
    <!-- not run here: REASON -->                the whole block
    <!-- not run here, COMMAND: REASON -->       the commands that begin so
    <!-- output of `COMMAND` -->                 a block of text: what that printed, `...` for what may be there;
                                                 `output of COMMAND, in containers` where lanes differ
    <!-- not a configuration: WHAT -->           a block of YAML

In a command's own comment, `until Ctrl-C` presses it after a while, and `exit code 4` expects that.
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
    """A block or comment that says nothing this mechanism understands."""


@dataclass(frozen=True)
class Block:
    """One fenced block, and what the comments above it say."""

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
        """`docs/run.md:12`."""
        return f"{self.document}:{self.line}"

    @property
    def file(self) -> str:
        """The file that the block is, by its first line; empty when it is none."""
        found = _FILE.match(self.text)
        return found[1] if found and self.language not in TYPED else ""

    def in_lane(self, lane: str) -> bool:
        """Whether the block is meant for this lane."""
        return self.lane in ("", lane)


@dataclass(frozen=True)
class Command:
    """One command as it stands in a document, and what the document shows of its output (None: nothing)."""

    block: Block
    text: str
    output: str | None = None

    @property
    def left_out(self) -> str:
        """Why it is not typed here; empty when it is."""
        named = (why for begin, why in self.block.left_out_commands.items() if self.text.startswith(begin))
        return self.block.left_out or next(named, "")


def blocks(path: Path) -> list[Block]:
    """All blocks of a document, in order. Raises `Unclear`."""
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
    """What is to be typed: of `console` the lines after `$ `, of `sh` all of them; more lines where quotes go on."""
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
    """Whether the shell would run it: quotes are closed, no backslash at the end, here-documents are complete."""
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
