"""A cluster that consists of services (etcd, kube-apiserver, controllers); it implements `base.Cluster`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from envkit.base.errors import ClusterError, NotReady, UsageError
from envkit.base.paths import write_private
from envkit.base.waiting import Cancel, until
from envkit.config.models import Cluster
from envkit.config.names import APISERVER, CONTROLLERS, ETCD, PARTS
from envkit.drivers.clusters.api import Api
from envkit.drivers.clusters.base import ClusterKind, Opening
from envkit.drivers.clusters.envtest import WITHOUT_CONTROLLERS, Envtest, with_parts

if TYPE_CHECKING:
    from envkit.base.paths import Paths
    from envkit.config.models import Environment
    from envkit.planning.facts import Instance

RESUMED = 30.0
"""Timeout in seconds for a resumed API server; it answers within one second."""

Report = Callable[[str], None]

LATE = (
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "autoregister-completion",
)
"""Checks of an API server that pass late, mainly the one for default roles. The bootstrap works without them."""

LOOK_AGAIN = 0.5
"""Seconds after which a wait lists the parts again: the controllers start during the wait for the cluster."""


class Runtime(Protocol):
    """The methods of a runtime that an `EnvtestCluster` needs; see `drivers.runtimes.base.Runtime`."""

    def observe(self, environment: str) -> Sequence[Instance]:
        """Return everything that carries the environment's label."""

    def look(self, instance: Instance) -> Instance:
        """Return the instance with its state now."""

    def logs(self, instance: Instance, tail: int | None = None) -> str:
        """Return the last `tail` lines of its output."""


@dataclass(frozen=True)
class PartsFacts:
    """The current state of the cluster; it has no nodes."""

    state: Literal["absent", "running", "paused"] = "absent"
    fingerprint: str = ""
    node_names: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    """Parts that do not run, without which it cannot work."""


@dataclass(frozen=True)
class EnvtestCluster:
    """The cluster of one environment; the runtime starts and stops its parts."""

    environment: Environment
    paths: Paths
    runtime: Runtime
    lacks_controllers: Callable[[], bool]
    """Returns whether this machine has no program for the controllers; called only when needed."""

    def observe(self) -> PartsFacts:
        """Return the cluster's state, `running` if its API server runs.

        The fingerprint is written when the API server is ready for the first time.
        """
        parts = {name: part for name, part in self._parts().items() if part.state in ("running", "paused")}
        if APISERVER not in parts:
            return PartsFacts()
        path = self._marker
        dead = () if ETCD in parts else (ETCD,)
        paused = any(part.state == "paused" for part in parts.values())
        return PartsFacts("paused" if paused else "running", path.read_text() if path.exists() else "", dead=dead)

    def prepare(self, _cluster: Cluster, _report: Report, _cancel: Cancel) -> None:
        """Do nothing: the parts are services, and services have their own preparation."""

    def create(
        self, cluster: Cluster, fingerprint: str, report: Report, cancel: Cancel,
        work: Callable[[Path], None] | None = None,
    ) -> PartsFacts:  # fmt: skip
        """Wait until the API server is ready and the ServiceAccount `default` exists; return the cluster's state."""
        self.restore_kubeconfig()
        api = Api.of(self.paths.kubeconfig)
        if work:
            for probe in (lambda: api.readyz(but=LATE), api.system_namespaces):
                self._until(probe, "the API server", cluster.timeout, cancel)
            work(self.paths.kubeconfig)
        report(f"API server ready after {self._until(api.readyz, 'the API server', cluster.timeout, cancel):.1f} s")
        if not self.lacks_controllers():
            account = "the ServiceAccount default/default"
            self._until(api.default_account, account, cluster.timeout, cancel, CONTROLLERS)
        write_private(self._marker, fingerprint)
        return PartsFacts("running", fingerprint)

    def before(self, part: str, cancel: Cancel) -> None:
        """Wait for the API server before the controllers start; other parts need not wait.

        Controllers check the API server once a second, so they would notice late that it is ready.
        """
        if part == CONTROLLERS:
            self.restore_kubeconfig()
            api = Api.of(self.paths.kubeconfig)
            self._until(api.readyz, "the API server", self.environment.cluster.timeout, cancel)

    def resume(self, _report: Report, cancel: Cancel) -> None:
        """Wait until the API server answers. The runtime has already resumed the parts, like every service."""
        self.restore_kubeconfig()
        self._until(Api.of(self.paths.kubeconfig).readyz, "the resumed API server", RESUMED, cancel)

    def restore_kubeconfig(self) -> None:
        """Write the administrator's kubeconfig each time, because ports may have changed."""
        server = self._server()
        if server is None or not server.published:
            raise ClusterError("the API server is not running")
        Envtest(self.environment, self.paths).write_kubeconfig(next(iter(server.published.values())))

    def delete(self) -> list[str]:
        """Remove the cluster's files. The runtime removes the parts, like every service."""
        self.paths.kubeconfig.unlink(missing_ok=True)
        self._marker.unlink(missing_ok=True)
        return []

    @property
    def _marker(self) -> Path:
        return self.paths.folder / "cluster-fingerprint"

    def _server(self) -> Instance | None:
        return self._parts().get(APISERVER)

    def _parts(self) -> dict[str, Instance]:
        found: Sequence[Instance] = self.runtime.observe(self.environment.name)
        return {instance.service: instance for instance in found if instance.service in PARTS}

    def _until(
        self, probe: Callable[[], str | None], what: str, seconds: float, cancel: Cancel, suspect: str = APISERVER
    ) -> float:
        """Wait until the probe passes; return the seconds. Raise `ClusterError` at once if a part has died.

        After the deadline, the error contains the last log lines of the part `suspect`.
        """
        parts, runtime, looked = self._parts(), self.runtime, time.monotonic()

        def attempt() -> str | None:
            nonlocal parts, looked
            seen = probe()
            if seen is not None:
                if time.monotonic() - looked > LOOK_AGAIN:
                    parts, looked = self._parts(), time.monotonic()
                for name, part in parts.items():
                    now = runtime.look(part)
                    if not now.running and not cut_off_parts(part, parts):
                        why = "the reason is usually in its last log lines"
                        raise ClusterError(f"{name} {now.death()}", hint=why, detail=runtime.logs(part, tail=20))
            return seen

        try:
            return until(attempt, what=what, seconds=seconds, cancel=cancel, slowest=0.1)
        except NotReady as error:
            error.detail = runtime.logs(parts[suspect], tail=20) if suspect in parts else ""
            raise


def cut_off_parts(part: Instance, parts: Mapping[str, Instance]) -> bool:
    """Return whether the part belongs to an earlier API server; its own step removes it and makes it again."""
    server = parts.get(APISERVER)
    return server is not None and part.service == CONTROLLERS and part.began() < server.began()


def opened(opening: Opening) -> EnvtestCluster:
    """Return the cluster of an environment; the environment's runtime runs its parts."""
    lacks = partial(opening.lacking, CONTROLLERS)
    return EnvtestCluster(opening.environment, opening.paths, opening.runtime, lambda: bool(lacks()))


def expanded(environment: Environment, paths: Paths, make: bool) -> Environment:
    """Return the environment with the parts as services.

    Raises `UsageError` if the user's services have the same names.
    """
    clash = [name for name in PARTS if name in environment.services]
    if clash:
        raise UsageError(
            f"services named {', '.join(clash)} clash with the parts of the API server", hint="give them other names"
        )
    return with_parts(environment, Envtest(environment, paths, make).services())


KIND = ClusterKind(opened, expanded, {CONTROLLERS: WITHOUT_CONTROLLERS})
