"""Compares the OpenAPI document with the running service: schemathesis generates requests and checks the answers."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .binaries import unavailable
from .conftest import Start

pytestmark = pytest.mark.integration

# jsonb cannot store U+0000, and JSON schema cannot forbid it in nested strings; test_event_parsing tests that.
OPTIONS = ["--generation-allow-x00", "false", "--generation-deterministic", "--max-examples", "40", "--mode", "all"]
OPTIONS += ["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color"]


def test_answers_are_what_the_document_says(start: Start, tmp_path: Path) -> None:
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if program is None or importlib.util.find_spec("schemathesis") is None:
        unavailable("schemathesis is not installed")
    url = f"http://127.0.0.1:{start().ports['api']}/openapi.json"
    folder = Path(__file__).parent
    found = subprocess.run(
        [program, "run", url, *OPTIONS],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(folder)}
        | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stdout + found.stderr
