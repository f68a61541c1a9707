"""The host that the checks read. Tests create a `Host` with other files and variables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envkit.base.errors import EngineError
from envkit.drivers.engine.discovery import find_all
from envkit.drivers.engine.endpoint import Endpoint

RUN_SECONDS = 8.0
"""Time limit, in seconds, of a program or an engine call in a check."""


@dataclass
class Host:
    """One machine. `root` is the folder that contains the machine's `/proc`, `/sys` and `/run`."""

    environ: Mapping[str, str]
    home: Path
    cache: Path
    root: Path = Path("/")
    uid: int = field(default_factory=os.getuid)
    system: str = sys.platform
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _engines: tuple[Sequence[Endpoint], Mapping[str, str]] | None = None
    _infos: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def read(self, path: str) -> str:
        """Return the stripped text of a file below `root`, or an empty string if it cannot be read."""
        try:
            return (self.root / path.lstrip("/")).read_text().strip()
        except OSError:
            return ""

    def exists(self, path: str) -> bool:
        """Return whether the path exists below `root`."""
        return (self.root / path.lstrip("/")).exists()

    def number(self, path: str) -> int | None:
        """Return the number in a file, or None if the file does not contain just a number."""
        text = self.read(path)
        return int(text) if text.isdecimal() else None

    def which(self, program: str) -> str | None:
        """Return the path of a program on the caller's PATH, or None."""
        return shutil.which(program, path=self.environ.get("PATH"))

    def says(self, *argv: str) -> tuple[int, str]:
        """Run a command and return its exit code and output. The code is 127 if it cannot run or exceeds 8 s."""
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=RUN_SECONDS, env=dict(self.environ), check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return 127, str(error)
        return done.returncode, (done.stdout + done.stderr).strip()

    @property
    def engines(self) -> tuple[Sequence[Endpoint], Mapping[str, str]]:
        """The engines that answer, and the addresses that do not answer, each with the reason. The search runs once.

        Raises `EngineError` if Docker's context is wrong.
        """
        with self._lock:
            if self._engines is None:
                self._engines = find_all("auto", self.environ)
            return self._engines

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The engines that answer; empty if their addresses cannot be found."""
        try:
            return self.engines[0]
        except EngineError:
            return ()

    def info(self, endpoint: Endpoint) -> Mapping[str, Any]:
        """Return what the engine reports about itself, read once. Raises `EngineError` if no answer comes."""
        from envkit.drivers.engine.sdk import connect, translated

        with self._lock:
            if endpoint.url not in self._infos:
                api = connect(endpoint, int(RUN_SECONDS))
                try:
                    with translated(f"reading the description of {endpoint.engine}"):
                        self._infos[endpoint.url] = api.info()
                finally:
                    api.close()
            return self._infos[endpoint.url]
