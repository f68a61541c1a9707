"""The context that every collector receives, and helpers for collectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, TypeVar

from envkit.base.abilities import able
from envkit.base.commands import CommandFailed
from envkit.base.errors import EnvkitError
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.config.models import Environment
from envkit.drivers.runtimes.base import OnEngine
from envkit.evidence.bundle import Bundle
from envkit.evidence.findings import Findings
from envkit.inventory.drivers import Drivers
from envkit.inventory.probing import Prober

if TYPE_CHECKING:
    from docker import APIClient

    from envkit.planning.facts import Instance

T = TypeVar("T")

ABREAST = 8
"""Number of threads that one collector uses."""


@dataclass(frozen=True)
class CollectionContext:
    """The input of a collector: the environment in any state, the folder of its last run or None, the bundle to fill.

    No signal shortens the collection. `since` is the time at which the run began, in seconds since 1970.
    """

    environment: Environment
    paths: Paths
    drivers: Drivers
    run: Path | None
    bundle: Bundle
    findings: Findings
    since: float

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """Return all instances of the environment, sorted by service."""
        found = self.drivers.runtime.observe(self.environment.name)
        return tuple(sorted(found, key=lambda one: one.service))

    @property
    def prober(self) -> Prober:
        """Return a `Prober`, which checks whether the services work."""
        return self.drivers.prober(Cancel())

    @property
    def api(self) -> APIClient | None:
        """Return the engine's client, or None if there is no engine."""
        engine = able(self.drivers.backend, OnEngine)
        return engine.api if engine else None

    @contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """Turn an exception of the block into a note in the bundle, so that the collector can go on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  a broken environment can raise any error
            self.bundle.note(f"{what}: {one_line(error)}")


@dataclass(frozen=True)
class Collector:
    """A function that collects one kind of evidence. After `seconds` the collection no longer waits for it."""

    name: str
    collect: Callable[[CollectionContext], None]
    seconds: float
    repeats: bool = False
    """Whether this evidence repeats what the error of a failed `up` already reports."""


def one_line(error: Exception) -> str:
    """Return the error's message in one line of at most 500 characters."""
    message = error.message if isinstance(error, EnvkitError) else str(error)
    if isinstance(error, CommandFailed):
        message += ": " + next((line for line in reversed(error.output.splitlines()) if line.strip()), "no output")
    return " ".join((message or type(error).__name__).split())[:500]


def each(scene: CollectionContext, things: Iterable[T], what: Callable[[T], str], collect: Callable[[T], None]) -> None:
    """Call `collect` for each thing, in `ABREAST` threads. If a call fails, `what` names its thing in a note."""
    left = iter(tuple(things))
    lock = Lock()

    def work() -> None:
        while True:
            with lock:
                thing = next(left, None)
            if thing is None:
                return
            with scene.noted(what(thing)):
                collect(thing)

    for thread in [in_background(work) for _ in range(ABREAST)]:
        thread.join()


def in_background(work: Callable[[], None]) -> Thread:
    """Start the work in a daemon thread. Unlike an executor's thread, it does not keep the program from exiting."""
    thread = Thread(target=work, daemon=True, name="evidence")
    thread.start()
    return thread
