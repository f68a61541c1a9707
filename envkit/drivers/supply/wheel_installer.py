"""Installs wheels with pip if this Python has it, or else with uv, from the package index that the user configured.

Both refuse a wheel if the requirements file does not have the wheel's SHA-256. Both only unpack wheels; they run no
code of a wheel.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from envkit.base.commands import run
from envkit.base.errors import ToolMissing
from envkit.base.waiting import Cancel

SECONDS = 240.0
"""Time limit for one installation, which downloads 15 MB for the DataStorage service, or up to 25 MB for programs."""

PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
"""Platform tags of the wheels that an image with glibc 2.28 or newer can use."""


@dataclass(frozen=True)
class Installation:
    """How to unpack wheels. `python` and `machine` select the target; the default is the Python that runs envkit.

    `answer_seconds` is pip's time limit for an answer of the index; pip tries twice. If it is 0, pip's own settings
    apply.
    """

    python: str = ""
    machine: str = ""
    bytecode: bool = False
    dependencies: bool = True
    answer_seconds: float = 0.0

    def run(
        self, requirements: Path, target: Path, cancel: Cancel, environ: Mapping[str, str] | None = None
    ) -> None:  # fmt: skip
        """Unpack the wheels of the requirements file into the folder `target`.

        Raises `ToolMissing` if neither pip nor uv is installed, `CommandFailed` with the tool's output, `NotReady`
        after `SECONDS`, and `Cancelled`.
        """
        checked = ["--require-hashes", "--target", str(target), "-r", str(requirements)]
        run([*self.program(environ), *checked], seconds=SECONDS, env=environ, cancel=cancel)

    def program(self, environ: Mapping[str, str] | None = None) -> list[str]:
        """Return the command line of pip or uv, without the requirements.

        Raises `ToolMissing` if neither is installed.
        """
        common = [] if self.dependencies else ["--no-deps"]
        common += ["--python-version", self.python] if self.python else []
        return [*self._pip(), *common] if importlib.util.find_spec("pip") else [*self._uv(environ), *common]

    def _pip(self) -> list[str]:
        tags = [f"{platform}_{self.machine}" for platform in PLATFORMS] if self.machine else []
        flags = ["--implementation", "cp", *(word for tag in tags for word in ("--platform", tag))] if tags else []
        flags += [] if self.bytecode else ["--no-compile"]
        if self.answer_seconds:
            flags += ["--no-input", "--retries", "1", "--timeout", f"{self.answer_seconds:g}"]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
        return [*pip, *flags]

    def _uv(self, environ: Mapping[str, str] | None) -> list[str]:
        found = os.environ if environ is None else environ
        uv = found.get("UV") or shutil.which("uv", path=found.get("PATH"))
        if not uv:
            raise ToolMissing("neither pip nor uv is there to fetch it")
        place = (
            ["--python-platform", f"{self.machine}-manylinux_2_28"] if self.machine else ["--python", sys.executable]
        )
        flags = ["--compile-bytecode"] if self.bytecode else []
        return [uv, "pip", "install", "--quiet", "--only-binary", ":all:", *place, *flags]


def reason(output: str) -> str:
    """Return one line with the reason why pip or uv failed.

    If the index cannot be reached, pip reports this only as a warning, and reports a missing package as the error.
    """
    if re.search("DO NOT MATCH THE HASHES|Hash mismatch", output):
        found = re.search(r"(?:Got +|Computed:\s+sha256:)([0-9a-f]{64})", output)
        digest = found[1] if found else "unknown"
        return f"the file of the package index does not have the known digest; its SHA-256 is {digest}"
    if broken := re.search(r"connection broken by (.*)", output):
        cause = re.search(r"Failed to establish a new connection: ([^'\")]*)", broken[1]) or re.match(
            r"'(\w+)", broken[1]
        )
        return f"the package index cannot be reached: {cause[1] if cause else broken[1]}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no output"])[-1][:300]
