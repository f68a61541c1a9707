"""Which real backends answer on this machine, and which of them must."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache

BACKENDS = ("docker", "podman", "kind")

REQUIRE = "ENVKIT_TEST_REQUIRE"
"""Names of backends, by comma: a test of one that does not answer fails instead of being skipped."""


def in_ci(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this is CI, where everything must run: `CI=true`, as `.ci/run` and CI services set it."""
    return environ.get("CI", "").lower() == "true"


def required(environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """What must answer: what `ENVKIT_TEST_REQUIRE` names; all of them where only `CI` is set to true."""
    named = environ.get(REQUIRE)
    if named is None:
        return frozenset(BACKENDS) if in_ci(environ) else frozenset()
    chosen = frozenset(word.strip() for word in named.split(",") if word.strip())
    if chosen - set(BACKENDS):
        raise ValueError(f"{REQUIRE} takes {', '.join(BACKENDS)}; found {', '.join(sorted(chosen - set(BACKENDS)))}")
    return chosen


@cache
def silence(backend: str) -> str:
    """Why the backend cannot be used, empty when it can. Asked once a session."""
    return _kind() if backend == "kind" else _engine(backend)


def _engine(name: str) -> str:
    from envkit.base.errors import EngineError
    from envkit.drivers.engine.discovery import find

    try:
        find(name, os.environ)
    except EngineError as error:
        return error.message
    return ""


def _kind() -> str:
    program = shutil.which("kind")
    if not program:
        return "kind is not on PATH"
    asked = subprocess.run([program, "version"], capture_output=True, text=True, timeout=30)
    return "" if asked.returncode == 0 else f"`kind version` ended with {asked.returncode}: {asked.stderr}"
