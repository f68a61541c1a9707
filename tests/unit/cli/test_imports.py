"""Tests that a command imports slow modules only if it uses them."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"invoke", "pydantic", "rich", "docker", "kubernetes", "urllib3", "psutil", "asyncio"}
IDLE = {
    *HEAVY - {"pydantic"},
    "pg8000",
    "cryptography",
    "envkit.drivers.clusters.bootstrap",
    "envkit.evidence",
    "envkit.watch",
}


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        (
            "envkit.cli.fast_path, envkit.cli.tasks, envkit.config.load, envkit.operations.env, "
            "envkit.inventory.export",
            HEAVY,
        ),
        (
            "envkit.cli.fast_path, envkit.cli.tasks, envkit.drivers.lanes, envkit.operations.up, "
            "envkit.drivers.runtimes.launching, envkit.drivers.clusters.connections, "
            "envkit.drivers.clusters.bootstrap_wanted, envkit.drivers.databases.pgwire, envkit.drivers.databases.resp",
            IDLE,
        ),
    ],
    ids=["env", "up with nothing to do"],
)
def test_what_is_slow_to_import_is_imported_where_it_is_used(modules: str, without: set[str]) -> None:
    script = f"import {modules}, sys; print(*sys.modules)"

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert without & {*said.split()} == set()
