"""A cluster whose parts (etcd, kube-apiserver, controllers) are services; it implements `base.Cluster`."""

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
"""Checks of `/readyz` that pass late, mainly the check for default roles. The bootstrap need not wait for them."""

LOOK_AGAIN = 0.5
"""The seconds after which a wait lists the parts again, because the controllers start during the wait."""


class Runtime(Protocol):
    """The methods of a runtime that an `EnvtestCluster` needs; see `drivers.runtimes.base.Runtime`."""

    def observe(self, environment: str) -> Sequence[Instance]:
        """Return every instance (container or process) that is labelled with the environment's name."""

    def look(self, instance: Instance) -> Instance:
        """Return the instance with its state now."""

    def logs(self, instance: Instance, tail: int | None = None) -> str:
        """Return the last `tail` lines of the instance's output; all lines if `tail` is None."""


@dataclass(frozen=True)
class PartsFacts:
    """The current state of the cluster. `node_names` is always empty, because the cluster has no nodes."""

    state: Literal["absent", "running", "paused"] = "absent"
    fingerprint: str = ""
    node_names: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    """The names of parts that do not run and without which the cluster cannot work."""


@dataclass(frozen=True)
class EnvtestCluster:
    """The cluster of one environment; the runtime starts and stops its parts."""

    environment: Environment
    paths: Paths
    runtime: Runtime
    lacks_controllers: Callable[[], bool]
    """Returns whether this machine has no program for the controllers. Called only when needed."""

    def observe(self) -> PartsFacts:
        """Return the cluster's state: `absent` if its API server does not run, `paused` if one of its parts is paused.

        The fingerprint is empty until `create` has succeeded.
        """
        parts = {name: part for name, part in self._parts().items() if part.state in ("running", "paused")}
        if APISERVER not in parts:
            return PartsFacts()
        path = self._marker
        dead = () if ETCD in parts else (ETCD,)
        paused = any(part.state == "paused" for part in parts.values())
        return PartsFacts("paused" if paused else "running", path.read_text() if path.exists() else "", dead=dead)

    def prepare(self, _cluster: Cluster, _report: Report, _cancel: Cancel) -> None:
        """Do nothing: the parts are services, and envkit prepares services elsewhere."""

    def create(
        self, cluster: Cluster, fingerprint: str, report: Report, cancel: Cancel,
        work: Callable[[Path], None] | None = None,
    ) -> PartsFacts:  # fmt: skip
        """Wait until the API server is ready and the ServiceAccount `default` exists; return the cluster's state.

        Before that, it calls `work` with the kubeconfig: as soon as the API server passes all its readiness checks
        except `LATE` and has the namespaces of Kubernetes. A cluster without controllers has no ServiceAccount to wait
        for.
        """
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
        """Wait for the API server if `part` is the controllers; other parts need not wait.

        The controllers check the API server only once a second, so on their own they would notice late that it is
        ready.
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
        """Write the administrator's kubeconfig, even if it exists, because the API server's port can have changed.

        Raises `ClusterError` if the API server does not run.
        """
        server = self._server()
        if server is None or not server.published:
            raise ClusterError("the API server is not running")
        Envtest(self.environment, self.paths).write_kubeconfig(next(iter(server.published.values())))

    def delete(self) -> list[str]:
        """Remove the cluster's files and return an empty list. The runtime removes the parts, like every service."""
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
        """Wait until the probe passes; return the seconds it took. Raises `ClusterError` at once if a part has died.

        After the time limit of `seconds`, raises `NotReady` with the last log lines of the part `suspect`.
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
    """Return whether the part is the controllers of an earlier API server, which a later step of `up` replaces."""
    server = parts.get(APISERVER)
    return server is not None and part.service == CONTROLLERS and part.began() < server.began()


def opened(opening: Opening) -> EnvtestCluster:
    """Return the cluster of an environment; the environment's runtime runs its parts."""
    lacks = partial(opening.lacking, CONTROLLERS)
    return EnvtestCluster(opening.environment, opening.paths, opening.runtime, lambda: bool(lacks()))


def expanded(environment: Environment, paths: Paths, make: bool) -> Environment:
    """Return the environment with the cluster's parts as services.

    Raises `UsageError` if one of the user's services has the name of a part.
    """
    clash = [name for name in PARTS if name in environment.services]
    if clash:
        raise UsageError(
            f"services named {', '.join(clash)} clash with the parts of the API server", hint="give them other names"
        )
    return with_parts(environment, Envtest(environment, paths, make).services())


KIND = ClusterKind(opened, expanded, {CONTROLLERS: WITHOUT_CONTROLLERS})
