"""The process that watches a run. If the wrapper (the process of `envkit run`) is killed, it cleans up and then exits.

The wrapper sends it one JSON object on each line. It sends each message before it does what the message says, because
a SIGKILL can come in between. If the pipe ends without the message `done`, the wrapper is dead.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from envkit.base.errors import EnvkitError
from envkit.base.owner import of_data
from envkit.base.paths import write_private
from envkit.planning.facts import Instance
from envkit.watch import command_processes
from envkit.watch.folder import RunFolder
from envkit.watch.timeline import Happening, Writer, now, render

if TYPE_CHECKING:
    from envkit.base.control import Control
    from envkit.base.paths import Paths
    from envkit.config.models import Environment
    from envkit.inventory.drivers import Drivers
    from envkit.watch.watch import Watch

IDLE = 60.0
"""Seconds to wait for a message while nothing is watched."""

EVIDENCE_SECONDS = 3.0
"""Seconds for evidence if the wrapper is dead. CI gives about ten; the rest is for taking the environment down."""

AFTERWARDS = (0.0, 0.7, 1.5, 1.5)
"""Seconds before each attempt to take the environment down. An engine can finish the dead wrapper's last request late,
so one attempt is not enough."""


class Watched(Protocol):
    """An environment that the supervisor has opened."""

    @property
    def environment(self) -> Environment:
        """Return the configuration."""

    @property
    def paths(self) -> Paths:
        """Return the paths of the environment's files."""

    @property
    def drivers(self) -> Drivers:
        """Return the drivers that run the environment."""

    @property
    def control(self) -> Control:
        """Return the control that cancels checks of the environment."""


@dataclass
class Supervisor:
    """The supervisor of one run.

    `opened` opens the environment. `down` removes it and returns the names of what it removed. `renew` renews the
    tokens, and `write` sends a line to the wrapper. `collect` writes evidence into a folder within a number of seconds.
    """

    folder: RunFolder
    environment: str
    opened: Callable[[], AbstractContextManager[Watched]]
    down: Callable[[], list[str]]
    renew: Callable[[], None]
    write: Callable[[str], None]
    collect: Callable[[Watched, Path, float], object]
    owned: bool | None = None
    fresh: bool = False
    keep: bool = False
    clock: Callable[[float], None] = time.sleep
    _watch: Watch | None = None
    _watched: Watched | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self._timeline = Writer(self.folder.timeline)

    def follow(self, lines: Iterable[str]) -> None:
        """Carry out the wrapper's messages until it sends `done` or dies."""
        try:
            self._follow(lines)
        finally:
            self._timeline.close()

    def _follow(self, lines: Iterable[str]) -> None:
        told: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=_read, args=(lines, told), daemon=True, name="told").start()
        while True:
            pause = self._watch.tick() if self._watch else IDLE
            try:
                message = told.get(timeout=pause)
            except queue.Empty:
                continue
            if message is None:
                self._bereaved()
                return
            if message["what"] == "done":
                self._rest()
                return
            self._heed(message)

    def _heed(self, message: Mapping[str, Any]) -> None:
        match message["what"]:
            case "begin":
                self.fresh = bool(message["fresh"])
            case "owned":
                self.owned = bool(message["owned"])
            case "keep":
                self.keep = True
            case "up":
                self._wake(message["instances"])
            case "settle":
                if self._watch:
                    self._watch.settle(bool(message["everything"]))
                self.write(json.dumps({"what": "settled"}))
            case "rest":
                self._rest()
                self.write(json.dumps({"what": "resting"}))

    def _wake(self, instances: Mapping[str, Mapping[str, Any]]) -> None:
        from envkit.watch.watch import Watch

        try:
            watched = self._stack.enter_context(self.opened())
            known = {name: instance_of(raw) for name, raw in instances.items()}
            prober = watched.drivers.prober(watched.control.cancel)
            self._watched, self._watch = watched, Watch(prober, self.folder, known, self._say, self.renew)
        except (EnvkitError, OSError) as error:
            self._say(Happening(now(), "note", "", f"the run is not watched: {error}"))

    def _rest(self) -> None:
        watch, self._watch = self._watch, None
        if watch:
            watch.copy_logs()
            watch.stop()
        self._stack.close()

    def _say(self, happening: Happening) -> None:
        self._timeline(happening)
        self.write(render(happening))

    # The wrapper is dead

    def _bereaved(self) -> None:
        """Clean up after a dead wrapper: end the command, keep evidence, take down what the wrapper brought up."""
        self._note("phase", "the wrapper was killed: cleaning up after it")
        ended = command_processes.end_processes(self.folder.path)
        if ended:
            self._note("command", f"ended {len(ended)} processes of the command")
        if self._watch:
            with suppress(Exception):
                self._watch.settle(everything=False)
        if self._watch:
            self._evidence()
        elif self._mine:
            self._late_logs()
        self._rest()
        if self._mine:
            self._take_down()
        self.folder.write_facts(ended=now(), killed=True)

    @property
    def _mine(self) -> bool:
        """Return whether this run must take the environment down.

        If the wrapper died before it reported whether this run owns the environment, `fresh` decides. It is true if
        nothing of the environment existed before.
        """
        return bool(self.owned or (self.owned is None and self.fresh)) and not self.keep

    def _late_logs(self) -> None:
        """Write the services' logs into the run's folder after the wrapper was killed during the start."""
        try:
            with self.opened() as watched:
                runtime = watched.drivers.runtime
                for instance in runtime.observe(watched.environment.name):
                    text = runtime.logs(instance)
                    write_private(self.folder.logs / f"{instance.service or instance.name}.log", text)
        except Exception as error:  # noqa: BLE001  no wrapper is left to report it to, and the rest must be done
            self._note("note", f"not every log could be kept: {error}")

    def _evidence(self) -> None:
        assert self._watched is not None
        try:
            self.collect(self._watched, self.folder.path, EVIDENCE_SECONDS)
        except Exception as error:  # noqa: BLE001  no wrapper is left to report it to, and the rest must be done
            self._note("note", f"no evidence could be gathered: {error!r}")

    def _take_down(self) -> None:
        for attempt, pause in enumerate(AFTERWARDS):
            self.clock(pause)
            try:
                gone = self.down()
                self._note("phase", f"down: {len(gone)} things removed")
                if attempt and not gone:
                    return
            except Exception as error:  # noqa: BLE001  the next attempt, or the next `down`, finds what is left
                self._note("error", f"taking down: {error}")

    def _note(self, kind: Any, text: str) -> None:
        self._timeline(Happening(now(), kind, "", text))


def instance_of(raw: Mapping[str, Any]) -> Instance:
    """Return an instance from the JSON that the wrapper sent."""
    published = {int(inner): int(outer) for inner, outer in dict(raw["published"]).items()}
    return Instance(**{**raw, "published": published, "owner": of_data(raw["owner"])})


def _read(lines: Iterable[str], told: queue.Queue[dict[str, Any] | None]) -> None:
    with suppress(OSError, ValueError):  # an incomplete line can only be the last one
        for line in lines:
            told.put(json.loads(line))
    told.put(None)


def write_to_wrapper(text: str) -> None:
    """Write a line to the wrapper; do nothing if it is dead."""
    with suppress(OSError, ValueError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def folder_of(path: str) -> RunFolder:
    """Return the run's folder for the path in the first message."""
    return RunFolder(Path(path))
