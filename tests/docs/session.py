"""One shell session for one document: it runs each command in turn and records output, time and place."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.docs.blocks import WRITTEN, Block, Command, commands

PRELUDE = """
step() { echo "$1 $EPOCHREALTIME" >>"$STEPS/at"; exec >"$STEPS/$1.said" 2>&1 </dev/null; }
interrupted() {
  local code=0
  timeout --foreground --preserve-status --signal=INT --kill-after=20 2 "$@" || code=$?
  (($code == 130)) || { echo "Ctrl-C ended it with exit code $code, not 130"; return 1; }
}
ends_with() {
  local expected=$1 code=0
  shift
  "$@" || code=$?
  (($code == $expected)) || { echo "the exit code is $code, not $expected"; return 1; }
}
"""
"""Shell functions: `step N` separates the output of the commands, the others carry out a command's comment."""

_DEFAULT = re.compile(r"(?<![\w/.`-])gateway(?![\w/.`])|(?<=envkit-)gateway(?=-)")
"""Pattern for the name of the default environment in a command."""

SECONDS = 300.0
"""Deadline in seconds for one document."""


@dataclass(frozen=True)
class Step:
    """A command to run or a file to write, and its place."""

    command: Command | None
    script: str


@dataclass(frozen=True)
class Done:
    """A command that ran: its output, and its duration in seconds."""

    command: Command
    printed: str
    seconds: float


class Failed(AssertionError):
    """A command of a document failed."""


def steps(blocks: Sequence[Block], lane: str, checkout: Path, yours: Path, name: str) -> Iterator[Step]:
    """Yield the reader's steps from the first block to the last.

    `name` is the environment's name; the documents' names of containers contain it.
    """
    place: Path | None = None
    for block in blocks:
        if not block.in_lane(lane) or block.left_out:
            continue
        wanted = yours if block.yours else checkout
        typed = [one for one in commands(block) if not one.left_out]
        written = block.yours and block.language in WRITTEN and block.file
        if (typed or written) and wanted != place:
            yield Step(None, f"cd '{wanted}'")
            place = wanted
        if written:
            yield Step(None, _writing(block))
        for one in typed:
            yield Step(one, _DEFAULT.sub(name, _as_said(one.text)))


def _writing(block: Block) -> str:
    return f"mkdir -p \"$(dirname '{block.file}')\"\ncat >'{block.file}' <<'THE-END-OF-IT'\n{block.text}THE-END-OF-IT\n"


def _as_said(text: str) -> str:
    """Return the command, wrapped in the shell function that its comment requires."""
    comment = text.rpartition("#")[2]
    if "until Ctrl-C" in comment:
        return f"interrupted {text}"
    code = re.search(r"exit code (\d+)", comment)
    return f"ends_with {code[1]} {text}" if code else text


def play(todo: Sequence[Step], folder: Path, environ: Mapping[str, str]) -> list[Done]:
    """Run all steps; raise `Failed` with the failed command, its place in the document and its whole output."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = [PRELUDE]
    for number, step in enumerate(todo):
        (folder / f"{number}.sh").write_text(step.script + "\n")
        lines.append(f'step {number}\n. "$STEPS/{number}.sh"')
    (folder / "all.sh").write_text("\n".join([*lines, f"step {len(todo)}", ""]))
    words = ["bash", "-eu", "-o", "pipefail", str(folder / "all.sh")]
    running = subprocess.Popen(words, env={**environ, "STEPS": str(folder)}, start_new_session=True)
    try:
        code: int | str = running.wait(SECONDS)
    except subprocess.TimeoutExpired:
        code = f"nothing within {SECONDS:.0f} s of this document"
    finally:
        _end(running)
    begun = [line.split() for line in (folder / "at").read_text().splitlines()]
    done = [
        Done(command, (folder / f"{number}.said").read_text(errors="replace"), float(end) - float(start))
        for (number, start), (_, end) in pairwise(begun)
        if (command := todo[int(number)].command)
    ]
    if code != 0:
        last = int(begun[-1][0])
        raise Failed(_told(todo[last], code, (folder / f"{last}.said").read_text(errors="replace")))
    return done


def _told(step: Step, code: int | str, printed: str) -> str:
    where = step.command.block.where if step.command else "between two blocks"
    return f"{where}: this command ended with {code}\n\n{step.script}\n\n{printed}"


def _end(running: subprocess.Popen[bytes]) -> None:
    """Kill the processes that a document left running in the shell's session."""
    try:
        os.killpg(running.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        running.wait()
