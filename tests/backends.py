"""Finds which real backends answer on this machine, and which of them tests require."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache

BACKENDS = ("docker", "podman", "kind")

REQUIRE = "ENVKIT_TEST_REQUIRE"
"""A variable with names of backends, separated by commas. If one does not answer, its tests fail, not skip."""


def in_ci(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is CI, where every test must run: `.ci/run` and CI services set `CI=true`."""
    return environ.get("CI", "").lower() == "true"


def required(environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Return the required backends: those in `ENVKIT_TEST_REQUIRE`, or all if only `CI` is true.

    Raises ValueError if the variable has an unknown name.
    """
    named = environ.get(REQUIRE)
    if named is None:
        return frozenset(BACKENDS) if in_ci(environ) else frozenset()
    chosen = frozenset(word.strip() for word in named.split(",") if word.strip())
    if chosen - set(BACKENDS):
        raise ValueError(f"{REQUIRE} takes {', '.join(BACKENDS)}; found {', '.join(sorted(chosen - set(BACKENDS)))}")
    return chosen


@cache
def silence(backend: str) -> str:
    """Return why the backend cannot be used, or an empty string if it can. The check runs once per session."""
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
