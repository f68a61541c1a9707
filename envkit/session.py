"""One environment opened for work: its engine, its runtime, its cluster, its files, and where events go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.config.models import Environment
from envkit.errors import EnvironmentFailed, UsageError
from envkit.events import Stream
from envkit.paths import Paths
from envkit.runtimes.containers import Containers
from envkit.runtimes.endpoint import Endpoint
from envkit.runtimes.networks import Networks
from envkit.supply.images import Images
from envkit.waiting import Cancel

if TYPE_CHECKING:
    from envkit.clusters.kind import Kind
    from envkit.supply.build import Recipe


@dataclass
class Session:
    """What every verb needs. `environ` is the caller's environment, handed in by the command line."""

    environment: Environment
    paths: Paths
    endpoint: Endpoint
    stream: Stream
    cancel: Cancel
    environ: Mapping[str, str]
    cache: Path
    lane: str = "containers"
    why: str = ""

    @cached_property
    def runtime(self) -> Containers:
        """Where the services run."""
        return Containers(self.endpoint)

    @cached_property
    def networks(self) -> Networks:
        """The engine's networks."""
        return Networks(self.runtime.api)

    @cached_property
    def images(self) -> Images:
        """The engine's images."""
        return Images(self.runtime.api)

    @cached_property
    def arch(self) -> str:
        """The engine's machine, `amd64` or `arm64`: it need not be this host's."""
        return str(self.runtime.api.version().get("Arch", "amd64"))

    @cached_property
    def recipes(self) -> Mapping[str, Recipe]:
        """How to build the services that are built here."""
        from envkit.services.desired import recipes

        return recipes(self.environment, self.arch, self.cache)

    @cached_property
    def kind(self) -> Kind:
        """The environment's cluster."""
        from envkit import labels
        from envkit.clusters.kind import Kind

        network = labels.resource_name(self.environment.name)
        return Kind(self.endpoint, self.environment.name, network, self.paths, self.runtime)


def choose_lane(environment: Environment) -> None:
    """Refuse what this version cannot do, with the reason, before anything is touched."""
    if environment.lane in ("mixed", "embedded") or environment.cluster.type == "envtest":
        wanted = f"lane {environment.lane}" if environment.lane != "auto" else "cluster type envtest"
        raise UsageError(
            f"{wanted} is not available in this version of envkit",
            hint="use lane containers, with cluster kind, existing or none",
        )


@contextmanager
def locked(paths: Paths, seconds: float, stream: Stream, cancel: Cancel) -> Iterator[None]:
    """Hold the environment against other envkits of this machine; the lock dies with its holder.

    Waits at most `seconds` for another one to finish, and says so. Raises `EnvironmentFailed` after that.
    """
    from filelock import FileLock, Timeout

    from envkit.waiting import until

    paths.lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(str(paths.lock))
    said = False

    def attempt() -> str | None:
        nonlocal said
        try:
            lock.acquire(timeout=0)
            return None
        except Timeout:
            if not said:
                stream.note(f"another envkit is working on environment {paths.name}; waiting for it to finish")
                said = True
            return "the lock is held"

    try:
        until(attempt, what=f"the lock of environment {paths.name}", seconds=seconds, cancel=cancel)
    except EnvironmentFailed as error:
        error.hint = f"another envkit still works on this environment; its lock is {paths.lock}"
        raise
    try:
        yield
    finally:
        lock.release()


Report = Callable[[str], None]
