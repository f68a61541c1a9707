"""A reader with a checkout of this project and a separate repository, who follows the documents."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.blocks import ROOT, Block, blocks
from tests.docs.session import Done, play, steps
from tests.docs.showing import difference
from tests.support import ports
from tests.support.box import Box, bindable

SHOP = Path(__file__).parent / "shop"
"""The reader's own repository, as small as the documents' examples allow."""

DEBIANS_GO = "/usr/lib/go-1.19/bin"

PROGRAM = """#!/bin/sh
[ ! -e envkit.yaml ] || unset ENVKIT_NAME
ENVKIT_PROGRAM=envkit exec "{0}" -m envkit "$@"
"""
"""The program of an installation; a configuration in the current folder determines the environment's name."""


def documents() -> list[Path]:
    """Return all documents, README first, because it starts from nothing.

    The laptop guide is last, because it takes everything down.
    """
    last = ROOT / "docs/laptop.md"
    rest = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("examples/*/README.md"))]
    return [ROOT / "README.md", *(path for path in rest if path != last), last]


def everybodys() -> dict[str, str]:
    """Return variables for the name and the ports.

    CI uses the defaults; elsewhere they differ, because a developer may use the default environment.
    """
    if os.environ.get("CI", "").lower() == "true" and all(map(bindable, ports.GATEWAY)):
        return {}
    return {"ENVKIT_NAME": f"docs-{uuid.uuid4().hex[:4]}", "ENVKIT_PORT_OFFSET": str(ports.offset())}


@dataclass
class Reader:
    """The reader of one lane; `box` is the environment of most documents."""

    box: Box
    lane: str
    chosen: dict[str, str]
    done: list[Done] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.box.cwd = self.checkout
        listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0"):
            if name and (ROOT / name).is_file():
                (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.checkout / name)
        (self.checkout / ".venv").symlink_to(Path(sys.prefix))
        subprocess.run(("git", "init", "-q"), cwd=self.checkout, check=True)
        program = self.box.folder / "bin/envkit"
        program.parent.mkdir()
        program.write_text(PROGRAM.format(sys.executable))
        program.chmod(0o755)

    @property
    def checkout(self) -> Path:
        """Return a copy of this checkout, as after `git clone`, but with a complete .venv."""
        return self.box.folder / "checkout"

    def environ(self) -> dict[str, str]:
        """Return the variables of the reader's shell."""
        path = [self.box.folder / "bin", Path(sys.prefix) / "bin", os.environ["PATH"], DEBIANS_GO]
        more = {"ENVKIT_LANE": self.lane, "TERM": "dumb", "GOPROXY": "off", "GOTOOLCHAIN": "local", **self.chosen}
        plain = {
            name: value for name, value in self.box.environ().items() if name != "CI" and not name.startswith("GI")
        }
        return {**plain, **more, "PATH": ":".join(map(str, path))}

    def dev(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `./dev` in the checkout."""
        return subprocess.run(
            ("./dev", *words), cwd=self.checkout, env=self.environ(), capture_output=True, text=True, timeout=200
        )

    def up(self) -> None:
        """Bring up the environment that every document except the first expects."""
        if self.dev("env").returncode:
            said = self.dev("up")
            assert said.returncode == 0, said.stdout + said.stderr

    def close(self) -> list[str]:
        """Take down all environments of the reader; return what is left of the main one."""
        rows = json.loads(self.dev("list", "--json").stdout or "{}").get("environments", [])
        for row in rows:
            if row["name"] != self.box.name and any(str(self.checkout) in holder for holder in row["held_by"]):
                self.dev("down", "--force", "--name", row["name"])
        return self.box.close()

    def follow(self, path: Path) -> list[Done]:
        """Type every command of the document and compare the shown output; raise `Failed` on a difference."""
        number = len(list(self.box.folder.glob("steps-*")))
        yours = self.checkout / "shop"
        shutil.rmtree(yours, ignore_errors=True)
        shutil.copytree(SHOP, yours)
        read = blocks(path)
        todo = list(steps(read, self.lane, self.checkout, yours, self.box.name))
        done = play(todo, self.box.folder / f"steps-{number}", self.environ())
        self.done += done
        wrong = [*self._consoles(done), *self._shown(read, done)]
        assert not wrong, "\n\n".join(wrong)
        return done

    def _consoles(self, done: list[Done]) -> Iterator[str]:
        for one in done:
            shown = one.command.output
            if shown is not None and (wrong := difference(shown, one.printed, self.box.name)):
                yield f"{one.command.block.where}: {one.command.text}\n{wrong}"

    def _shown(self, read: list[Block], done: list[Done]) -> Iterator[str]:
        """Yield the differences of text blocks that name the command that printed them.

        A block shows the command's last run before the block, or else its first run.
        """
        for block in read:
            if not block.output_of or block.shown_in not in ("", self.lane):
                continue
            typed = [one for one in done if one.command.text.partition("#")[0].strip() == block.output_of]
            before = [one for one in typed if one.command.block.line < block.line]
            if not typed:
                yield f"{block.where}: no command of this document is {block.output_of!r}"
            elif wrong := difference(block.text, [*typed[:1], *before][-1].printed, self.box.name):
                yield f"{block.where}: {block.output_of}\n{wrong}"
