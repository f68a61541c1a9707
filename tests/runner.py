"""Runs the checks of `./dev test`: lint, layers and types, then pytest; the same on a laptop and in CI."""

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
"""Options for two pytest workers, because tests mostly wait. Tests that share an environment stay in one worker."""


def main(root: Path, *, fast: bool, pytest_args: Sequence[str]) -> int:
    """Run all checks, or with `fast` those without an engine. Return the first exit code that is not 0, or 0."""
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
