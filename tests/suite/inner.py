"""A small suite, as a user writes it; pytest runs it in a separate process with the plugin enabled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent

from tests.support.box import ROOT

SECONDS = 120.0


class Inner:
    """A suite that starts when the object is made; `end` waits for its end."""

    def __init__(self, text: str, words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        (folder / "test_inner.py").write_text(dedent(text))
        (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "ENVKIT"))}
        alone = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        argv = [sys.executable, "-m", "pytest", "-p", "envkit.suite", "-p", "xdist.plugin", "-q"]
        self._log = folder / "inner.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*argv, "-p", "no:cacheprovider", *words, "test_inner.py"], cwd=folder,
                env={**plain, **alone, **variables}, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def out(self) -> str:
        """Return the suite's output so far."""
        return self._log.read_text(errors="replace")

    def end(self, seconds: float = SECONDS) -> int:
        """Wait for the suite and return its exit code; after the deadline, kill the suite and fail the test."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the inner suite did not end in {seconds} s:\n{self.out}") from None

    def kill(self) -> None:
        """Send SIGKILL to the suite and its workers."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ok(self) -> str:
        """Check that the suite passes and return its output."""
        assert self.end() == 0, self.out
        return self.out
