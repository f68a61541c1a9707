"""Keep test runners from answering with the results of an earlier environment."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping

GOFLAGS = "GOFLAGS"

GO_SECONDS = 5.0
"""For `go env`; it takes 0.005 s."""


def uncached(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which `go test` runs every test: GOFLAGS with `-count=1` beside the user's own flags.

    Go keeps results by sources, files and variables, so that a second run against a new environment, also one below
    `make`, prints `(cached)` and tests nothing. An option on the command line (`-count=3`) comes after GOFLAGS and
    wins. Returns nothing where go is not on PATH, or where the user's GOFLAGS have a count.
    """
    go = shutil.which("go", path=environ.get("PATH"))
    if not go:
        return {}
    flags = environ.get(GOFLAGS) or _configured(go, environ)
    if any(flag.lstrip("-").partition("=")[0] == "count" for flag in _words(flags)):
        return {}
    return {GOFLAGS: f"{flags} -count=1".strip()}


def _configured(go: str, environ: Mapping[str, str]) -> str:
    """The flags of `go env -w`, which a variable would replace."""
    try:
        asked = subprocess.run(
            [go, "env", GOFLAGS], env=dict(environ), cwd="/", capture_output=True, text=True, timeout=GO_SECONDS,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""


def _words(flags: str) -> list[str]:
    try:
        return shlex.split(flags)
    except ValueError:  # go itself will say what is wrong with them
        return flags.split()
