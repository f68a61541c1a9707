"""Tests that Go does not reuse test results from an earlier environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from envkit.operations.uncached import uncached

pytestmark = pytest.mark.skipif(not shutil.which("go"), reason="no go is here")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return variables with a separate settings file for `go env -w`."""
    plain = {key: value for key, value in os.environ.items() if key != "GOFLAGS"}
    return {**plain, "GOENV": str(tmp_path / "goenv")}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "go.mod").write_text("module example.com/suite\n\ngo 1.21\n")
    (folder / "a_test.go").write_text('package suite\n\nimport "testing"\n\nfunc TestA(t *testing.T) {}\n')
    return folder


def go(suite: Path, environ: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(
        ["go", *words], cwd=suite, env=dict(environ), capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_result_is_cached(suite: Path, environ: dict[str, str]) -> None:
    go(suite, environ, "test", "./...")
    assert "(cached)" in go(suite, environ, "test", "./..."), "what go does by itself"
    told = environ | uncached(environ)
    assert told["GOFLAGS"] == "-count=1"
    for _ in range(2):
        assert "(cached)" not in go(suite, told, "test", "./...")
    for words in (("build", "./..."), ("vet", "./..."), ("list", "./..."), ("mod", "verify"), ("version",)):
        go(suite, told, *words)


def test_the_users_own_flags_stay(suite: Path, environ: dict[str, str]) -> None:
    go(suite, environ, "env", "-w", "GOFLAGS=-mod=mod -trimpath")
    assert uncached(environ) == {"GOFLAGS": "-mod=mod -trimpath -count=1"}
    assert uncached(environ | {"GOFLAGS": "-v"}) == {"GOFLAGS": "-v -count=1"}


def test_a_count_of_the_users_own_stays(environ: dict[str, str]) -> None:
    assert uncached(environ | {"GOFLAGS": "-count=3"}) == {}
    assert uncached(environ | {"GOFLAGS": "'--count=3'"}) == {}


def test_nothing_is_set_where_no_go_is(environ: dict[str, str], tmp_path: Path) -> None:
    assert uncached(environ | {"PATH": str(tmp_path)}) == {}
