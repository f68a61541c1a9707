"""What `./dev test` runs: static checks, then pytest; the same on a laptop and in CI."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

STATIC = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("lint-imports",),
    ("vulture",),
    ("mypy",),
)
"""Programs of the virtual environment with their arguments; pyproject.toml configures them.

`lint-imports` checks the layers, `vulture` finds code that nothing uses.
"""

SLOW = (("pylint", "envkit", "tests", "tasks.py"),)
"""Static checks of the whole run alone: `pylint` finds lines written twice, which takes it half a minute."""

SIDE_BY_SIDE = ("-n", "2", "--dist", "loadgroup")
"""Two environments at once: tests wait most of their time. What shares one stays together (tests/conftest.py)."""


def main(root: Path, *, fast: bool, pytest_args: Sequence[str]) -> int:
    """Run everything, or with `fast` what needs no engine; the first exit code that is not 0."""
    if not pytest_args:
        for tool in STATIC if fast else (*STATIC, *SLOW):
            program, *arguments = tool
            code = _timed(root, [str(Path(sys.executable).with_name(program)), *arguments])
            if code:
                return code
    chosen = list(pytest_args) or ["tests/unit" if fast else "tests", *SIDE_BY_SIDE]
    return _timed(root, [sys.executable, "-m", "pytest", *chosen])


def _timed(root: Path, argv: Sequence[str]) -> int:
    words = " ".join([Path(argv[0]).name, *argv[1:]]).removeprefix(f"{Path(sys.executable).name} -m ")
    print(f"$ {words}", flush=True)
    began = time.monotonic()
    code = subprocess.run(argv, cwd=root, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""}).returncode
    print(f"  {words.split()[0]}: {time.monotonic() - began:.1f} s, exit {code}", file=sys.stderr, flush=True)
    return code
