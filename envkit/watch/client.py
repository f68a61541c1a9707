"""The connection of the wrapper (the process of `envkit run`) to the supervisor.

The wrapper starts the supervisor before it brings anything up, and reports each stage to it in advance. If the
supervisor dies, the run goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import envkit
from envkit.base.paths import append_private
from envkit.planning.facts import Instance
from envkit.watch.folder import RunFolder
from envkit.watch.timeline import Happening, parse

ANSWER_SECONDS = 4.0
"""Longest time in seconds to wait for an answer. A last check of everything takes less (`watch.LOOK_SECONDS`)."""

END_SECONDS = 5.0
"""Longest time in seconds until the supervisor must exit after the message `done`."""


class Watcher:
    """A running supervisor. If the supervisor has died, the methods do nothing, and the run goes on unwatched."""

    def __init__(
        self, module: str, folder: RunFolder, name: str, flags: Mapping[str, Any], *,
        keep: bool, heard: Callable[[Happening], None],
    ) -> None:  # fmt: skip
        """Start `module`, the supervisor's program.

        With `flags`, the wrapper's own options, it opens the same environment. `heard` is called with each event.
        """
        self._heard = heard
        self._answers: dict[str, threading.Event] = {"settled": threading.Event(), "resting": threading.Event()}
        self._gone = threading.Event()
        roots = [str(Path(envkit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        with os.fdopen(append_private(folder.path / "supervisor.log"), "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, roots))}, start_new_session=True,
                text=True,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True, name="supervisor")
        self._reader.start()
        self._tell({"name": name, "folder": str(folder.path), "keep": keep, "flags": dict(flags)})

    @property
    def pid(self) -> int:
        """Return the process id of the supervisor."""
        return self._process.pid

    # Messages of `up`

    def begin(self, *, fresh: bool) -> None:
        """See `operations.up.Intent`."""
        self._tell({"what": "begin", "fresh": fresh})

    def owned(self, *, owned: bool) -> None:
        """See `operations.up.Intent`."""
        self._tell({"what": "owned", "owned": owned})

    # Messages of `run`

    def watch(self, instances: Mapping[str, Instance]) -> None:
        """Report that the environment is up. The supervisor then watches these services."""
        self._tell({"what": "up", "instances": {name: asdict(it) for name, it in instances.items()}})

    def settle(self, *, everything: bool) -> None:
        """Request a last check of the services (of everything, if `everything`); return when all reports have come."""
        self._ask("settle", "settled", everything=everything)

    def rest(self) -> None:
        """End the watch before the environment is taken down, so that its end is not reported as a failure."""
        self._ask("rest", "resting")

    def done(self) -> None:
        """Report that nothing is left to clean up, and wait until the supervisor exits."""
        self._tell({"what": "done"})
        with suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(1.0)

    def leave(self) -> None:
        """Close the pipe without `done` and return: the supervisor then takes down what the wrapper could not."""
        with suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()

    # Helpers

    def _ask(self, what: str, answer: str, **more: Any) -> None:
        self._answers[answer].clear()
        if self._gone.is_set() or not self._tell({"what": what, **more}):
            return
        self._answers[answer].wait(ANSWER_SECONDS)

    def _tell(self, message: Mapping[str, Any]) -> bool:
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            happening = parse(line, Happening)
            if happening is not None:
                self._heard(happening)
                continue
            with suppress(ValueError, KeyError):
                self._answers[json.loads(line)["what"]].set()
        self._gone.set()
        for answer in self._answers.values():
            answer.set()
