"""Keep `go test` from reporting cached results of an earlier environment."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping

GOFLAGS = "GOFLAGS"

GO_SECONDS = 5.0
"""Time limit in seconds for `go env`, which takes 0.005 s."""


def uncached(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which `go test` runs every test: GOFLAGS with the user's own flags and `-count=1`.

    Go caches results by sources, files and variables. A second run against a new environment would therefore print
    `(cached)` and test nothing, also under `make`. An option on the command line (`-count=3`) overrides GOFLAGS.
    Returns no variables if go is not on PATH, or if the user's GOFLAGS contain a count.
    """
    go = shutil.which("go", path=environ.get("PATH"))
    if not go:
        return {}
    flags = environ.get(GOFLAGS) or _configured(go, environ)
    if any(flag.lstrip("-").partition("=")[0] == "count" for flag in _words(flags)):
        return {}
    return {GOFLAGS: f"{flags} -count=1".strip()}


def _configured(go: str, environ: Mapping[str, str]) -> str:
    """Return the flags that the user set with `go env -w`. They have no effect if a variable GOFLAGS is set."""
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
    except ValueError:  # go reports what is wrong with them
        return flags.split()
