"""Make all pictures anew, from an environment of the default profile in the embedded lane on a real terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.pictures.drawing import FOLDER, write
from tests.pictures.scenes import ANSI, ELSEWHERE, PROGRAM, SCENES, shown
from tests.pictures.terminal import at_terminal

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = "gateway"
UNWANTED = ("ENVKIT_", "XDG_", "PYTEST", "NO_COLOR", "FORCE_COLOR", "CI")


def main() -> int:
    """Run up, every scene and down; return 0 if every step gives the expected result."""
    with tempfile.TemporaryDirectory(prefix="envkit-pictures-") as folder:
        environ = surroundings(Path(folder))
        if ENVIRONMENT in names(environ):
            sys.stderr.write(f"error: there is an environment {ENVIRONMENT} here\nnext: `./dev down`, then again\n")
            return 2
        try:
            for one in SCENES:
                said = at_terminal([str(ROOT / "dev"), *one.words], environ, ROOT, one.columns)
                if said.code != one.code:
                    sys.stderr.write(f"error: {one.command} ended with {said.code}:\n{said.raw}\n")
                    return 3
                lines = shown([scrubbed(line, environ) for line in said.screen.coloured()])
                width = max(len(ANSI.sub("", line)) for line in lines)
                if foreign := [line for line in lines if ELSEWHERE.search(line)]:
                    sys.stderr.write(f"error: {one.command} tells of this machine:\n" + "\n".join(foreign) + "\n")
                    return 3
                write(one.name, one.command, lines, max(width, 60))
                print(FOLDER / f"{one.name}.svg")
        finally:
            subprocess.run([str(ROOT / "dev"), "down"], env=environ, cwd=ROOT, check=False)
    return 0


def surroundings(home: Path) -> dict[str, str]:
    """Return variables of a user with a new home, so that no picture shows data of this machine."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(UNWANTED)}
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    moved = {key: os.environ[key] for key in ("ENVKIT_PORT_OFFSET",) if key in os.environ}
    mine = {"HOME": str(home), "XDG_CACHE_HOME": cache, "ENVKIT_LANE": "embedded", "ENVKIT_PROGRAM": PROGRAM}
    return {**plain, **mine, **moved, "NO_PROXY": "127.0.0.1"}


def names(environ: Mapping[str, str]) -> set[str]:
    """Return the names of all environments on this machine."""
    said = subprocess.run(
        [str(ROOT / "dev"), "list", "--json"], env=dict(environ), cwd=ROOT, check=True, capture_output=True
    )
    return {row["name"] for row in json.loads(said.stdout)["environments"]}


def scrubbed(line: str, environ: Mapping[str, str]) -> str:
    """Return the line with `~` for every home, and with the reader's folder for this checkout."""
    for folder, short in ((environ["HOME"], "~"), (str(ROOT), "~/gateway"), (str(Path.home()), "~")):
        line = line.replace(folder, short)
    return line


if __name__ == "__main__":
    raise SystemExit(main())
