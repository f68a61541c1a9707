"""The host as the checks see it; tests hand in another one."""

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
"""For a program to say its version."""


@dataclass
class Host:
    """This machine. `root` is where `/proc`, `/sys` and `/run` are."""

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
        """A file's text without its last newline, empty when it cannot be read."""
        try:
            return (self.root / path.lstrip("/")).read_text().strip()
        except OSError:
            return ""

    def exists(self, path: str) -> bool:
        """Whether it is there."""
        return (self.root / path.lstrip("/")).exists()

    def number(self, path: str) -> int | None:
        """A file that holds a number."""
        text = self.read(path)
        return int(text) if text.isdecimal() else None

    def which(self, program: str) -> str | None:
        """Where a program is, on the caller's PATH."""
        return shutil.which(program, path=self.environ.get("PATH"))

    def says(self, *argv: str) -> tuple[int, str]:
        """Exit code and output of a command; 127 when it cannot be run or takes too long."""
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
        """Those that answer, and by address why others do not; asked once. Raises `EngineError` for a wrong context."""
        with self._lock:
            if self._engines is None:
                self._engines = find_all("auto", self.environ)
            return self._engines

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """Engines that answer; none where not even their addresses can be told."""
        try:
            return self.engines[0]
        except EngineError:
            return ()

    def info(self, endpoint: Endpoint) -> Mapping[str, Any]:
        """What the engine tells of itself, asked once. Raises `EngineError`."""
        from envkit.drivers.engine.sdk import connect, translated

        with self._lock:
            if endpoint.url not in self._infos:
                api = connect(endpoint, int(RUN_SECONDS))
                try:
                    with translated(f"asking {endpoint.engine} about itself"):
                        self._infos[endpoint.url] = api.info()
                finally:
                    api.close()
            return self._infos[endpoint.url]
