"""Creates the objects that suites need in a cluster (manifests, namespaces, identities) within one deadline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from envkit.base.errors import ClusterError
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.config.models import Cluster
from envkit.drivers.clusters import gates, identities, manifests, rights
from envkit.drivers.clusters.api import CRDS, Api
from envkit.drivers.clusters.apply import Applier
from envkit.drivers.clusters.identities import Subject
from envkit.drivers.clusters.manifests import Manifest
from envkit.drivers.clusters.steps import Steps
from envkit.planning.fingerprint import bootstrap_fingerprint

T = TypeVar("T")

WORKERS = 4
"""The number of tasks in parallel. A larger number slows down an API server that is starting."""


def bootstrap(cluster: Cluster, paths: Paths, environment: str, report: Callable[[str], None], cancel: Cancel) -> None:
    """Create and check all configured objects, within `cluster.bootstrap_timeout` seconds.

    Raises `ConfigError` for faulty manifests. Raises `ClusterError`, with the name and the time of the step, if a step
    fails.
    """
    loaded = manifests.load(cluster.manifests)
    steps = Steps(cluster.bootstrap_timeout, report, cancel)
    path = Path(cluster.kubeconfig) if cluster.kubeconfig else paths.kubeconfig
    api = Api.of(path, cluster.context)
    applier = Applier(path, paths.folder / "discovery.json", environment, cluster.context)
    _Bootstrap(cluster, paths, environment, steps, api, applier, loaded).run()


@dataclass
class _Bootstrap:
    cluster: Cluster
    paths: Paths
    environment: str
    steps: Steps
    api: Api
    applier: Applier
    manifests: Sequence[Manifest]

    def run(self) -> None:
        """Create namespaces and CRDs in parallel, then all other objects, then the ConfigMap of `_mark`."""
        if self.manifests:
            self.steps.run("manifests fit this API server", self._check_versions)
        first = [m for m in self.manifests if m.kind == "CustomResourceDefinition"]
        spaces = {m.name: m for m in self.manifests if m.kind == "Namespace"}
        rest = [m for m in self.manifests if m.kind not in ("CustomResourceDefinition", "Namespace")]
        self._together([
            *([lambda: self._crds(first)] if first else []),
            *([lambda: self._namespaces(spaces)] if spaces or self.cluster.namespaces else []),
        ])  # fmt: skip
        subjects = [Subject(name, one, self.environment) for name, one in self.cluster.identities.items()]
        before = identities.remove_unwanted(subjects, self.api, self.environment, self.steps)
        self._together([
            *([lambda: self._others(rest)] if rest else []),
            *(partial(identities.establish, one, self.applier, self.api, self.steps) for one in subjects),
        ])  # fmt: skip
        if before:
            known = partial(rights.wait_until_in_force, self.applier, self.api, self.environment, self.steps)
            self.steps.run("rights in force", known)
        self._together([partial(identities.prove, one, self.api, self.paths, self.steps) for one in subjects])
        self.steps.run("mark", lambda: self.steps.ask(lambda: self._mark(first)))

    def _together(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run all tasks in parallel and wait for all; then raise the error of the task that failed first."""
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="bootstrap") as pool:
            futures = [pool.submit(task) for task in tasks]
            failed = [error for error in map(Future.exception, as_completed(futures)) if error]
        if failed:
            raise failed[0]

    def _each(self, work: Callable[[T], None], things: Iterable[T]) -> None:
        for thing in things:
            work(thing)

    def _check_versions(self) -> None:
        server = self.steps.ask(self.api.version)
        served: dict[str, frozenset[str] | None] = {}

        def kinds(api_version: str) -> frozenset[str] | None:
            if api_version not in served:
                served[api_version] = self.steps.ask(lambda: self.api.kinds(api_version))
            return served[api_version]

        reasons = gates.rejected_arguments(self.manifests, server, kinds)
        if reasons:
            lines = "\n".join(f"  - {reason}" for reason in reasons)
            raise ClusterError(
                f"the API server is too old for these manifests, so none was applied:\n{lines}",
                hint="name a newer `cluster.node_image` or `cluster.kubernetes`, or other `cluster.manifests`",
            )

    def _crds(self, crds: Sequence[Manifest]) -> None:
        self.steps.run(_counted(crds, "CRD"), lambda: self._each(self._apply, crds))
        self.steps.run("CRDs Established", lambda: self._each(self._established, [crd.name for crd in crds]))

    def _established(self, name: str) -> None:
        def attempt() -> str | None:
            found = self.api.find(f"{CRDS}/{name}") or {}
            conditions = (found.get("status") or {}).get("conditions") or []
            if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
                return None
            return "; ".join(f"{one['type']}: {one.get('message', '')}" for one in conditions) or "no condition yet"

        self.steps.until(attempt, f"CRD {name} Established")

    def _namespaces(self, written: dict[str, Manifest]) -> None:
        names = [*written, *(name for name in self.cluster.namespaces if name not in written)]

        def all_of_them() -> None:
            for name in names:
                self._namespace(name, written.get(name))

        self.steps.run(_counted(names, "namespace"), all_of_them)

    def _namespace(self, name: str, manifest: Manifest | None) -> None:
        """Create the namespace and wait until it is Active.

        If an older namespace of that name is Terminating, first waits until it no longer exists.
        """
        path = f"/api/v1/namespaces/{name}"
        plain = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        applied = False

        def attempt() -> str | None:
            nonlocal applied
            found = self.api.find(path)
            if found and found["metadata"].get("deletionTimestamp"):
                applied = False
                return "an older namespace of this name is still Terminating"
            if not applied:
                self.applier.apply(manifest) if manifest else self.applier.put(plain)
                applied, found = True, self.api.find(path)
            phase = ((found or {}).get("status") or {}).get("phase", "absent")
            return None if phase == "Active" else f"it is {phase}"

        self.steps.until(attempt, f"namespace {name} Active")

    def _others(self, rest: Sequence[Manifest]) -> None:
        self.steps.run(_counted(rest, "other manifest"), lambda: self._each(self._apply, rest))

    def _apply(self, manifest: Manifest) -> None:
        self.steps.ask(lambda: self.applier.apply(manifest))

    def _mark(self, crds: Iterable[Manifest]) -> None:
        """Record the bootstrap in a ConfigMap, so that a later `up` need not parse the manifests."""
        kept = {"crds": sorted(crd.name for crd in crds)}
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "envkit", "namespace": "kube-system"},
            "data": {"fingerprint": bootstrap_fingerprint(self.cluster), "applied": json.dumps(kept)},
        }
        self.applier.put(body)


def _counted(things: Sequence[Any], noun: str) -> str:
    return f"{len(things)} {noun}{'s' if len(things) != 1 else ''}"
