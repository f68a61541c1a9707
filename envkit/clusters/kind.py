"""A cluster made by kind, on the engine that was resolved, in the environment's own network.

kind's exit code is no proof and its `--wait` looks at too little: the cluster is ready when `/readyz` says so, every
node is Ready and the ServiceAccount `default` is there. Work in the cluster may begin while kind still finishes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from envkit import commands, labels
from envkit.clusters import images, kind_config, kind_errors, kubeconfig
from envkit.clusters.api import Api
from envkit.clusters.nodes import MARKER_FILE, ClusterFacts, Engine, Nodes
from envkit.clusters.remains import end_processes, save_logs
from envkit.commands import CommandFailed, Finished
from envkit.config.models import Cluster
from envkit.errors import ClusterError, EnvkitError, NotReady, ToolMissing
from envkit.paths import Paths, write_private
from envkit.runtimes.endpoint import Endpoint
from envkit.waiting import Cancel, until

Report = Callable[[str], None]
ADMIN = "/etc/kubernetes/admin.conf"
LOAD_SECONDS = 300.0
INSTALL = "https://kind.sigs.k8s.io/docs/user/quick-start/#installation"


@dataclass
class Kind:
    """One environment's cluster. `network` exists already and is labelled: kind cannot label what it makes."""

    endpoint: Endpoint
    environment: str
    network: str
    paths: Paths
    engine: Engine
    run: Callable[..., Finished] = commands.run
    program: str = "kind"

    @property
    def name(self) -> str:
        """The cluster's name, as kind knows it."""
        return labels.resource_name(self.environment)

    @property
    def nodes(self) -> Nodes:
        """The cluster's containers."""
        return Nodes(self.engine, self.name, self.network)

    def observe(self) -> ClusterFacts:
        """What there is, by label and network alone."""
        facts = ClusterFacts(self.nodes.all())
        plane = facts.control_plane
        raw = self.engine.read_file(plane.name, MARKER_FILE) if plane else None
        return replace(facts, fingerprint=(raw or b"").decode().strip())

    def create(
        self, cluster: Cluster, node_image: str | None, port_offset: int, fingerprint: str,
        report: Report, cancel: Cancel, work: Callable[[Path], None] | None = None,
    ) -> ClusterFacts:  # fmt: skip
        """Make it and wait until it is ready, within `cluster.timeout`.

        `work` is called with the kubeconfig as soon as the API server is ready, in a thread, and joined: CRDs and
        namespaces need no node. On failure the logs are in `paths.logs` and the nodes are left for `delete`.
        """
        self._check_program()
        image = node_image or _image_of(cluster.kubernetes)
        if self.nodes.all():
            report("removing what an earlier attempt left")
            self.nodes.remove_all()
        config = kind_config.generate(cluster, name=self.name, image=image, port_offset=port_offset)
        creation = _Creation(self, cluster, config, report, cancel)
        try:
            creation.run(work)
        except (ClusterError, NotReady, ToolMissing):
            save_logs(self.nodes, self.paths.logs)
            raise
        facts = self.nodes.all()
        plane = ClusterFacts(facts).control_plane
        if plane is None:
            raise ClusterError("the cluster's node vanished while it was made", hint="did somebody remove it?")
        self.engine.write_file(plane.name, MARKER_FILE, fingerprint.encode())
        return ClusterFacts(facts, fingerprint)

    def resume(self, report: Report, cancel: Cancel, seconds: float = 30.0) -> None:
        """Wake paused nodes and wait for the API server."""
        self.nodes.unpause()
        api = Api.of(self.paths.kubeconfig)
        until(api.readyz, what="the API server of the resumed cluster", seconds=seconds, cancel=cancel, progress=report)

    def restore_kubeconfig(self) -> None:
        """Write the admin's kubeconfig again when it was lost."""
        if not self.paths.kubeconfig.exists():
            self.write_kubeconfig(ClusterFacts(self.nodes.all()))

    def write_kubeconfig(self, facts: ClusterFacts) -> str | None:
        """Take the admin's kubeconfig from the node, addressed to the host's port; why it cannot be had, if so."""
        plane = facts.control_plane
        if plane is None or not facts.address:
            return "no node yet"
        raw = self.engine.read_file(plane.name, ADMIN) if plane.state in ("running", "paused") else None
        if not raw:
            return f"node {plane.name} is {plane.state}, no kubeconfig yet"
        try:
            access = kubeconfig.parse(raw.decode())
        except ClusterError as error:  # kubeadm is writing it
            return error.message
        text = kubeconfig.render(replace(access, server=f"https://{facts.address}"), self.name)
        write_private(self.paths.kubeconfig, text)
        return None

    def delete(self) -> list[str]:
        """Remove every node, volume, process and file of it; gone already is fine. What was removed, by name."""
        end_processes(self.environment, self.name)
        removed = self.nodes.remove_all()
        for path in (self.paths.kubeconfig, *self._scratch()):
            path.unlink(missing_ok=True)
        return removed

    def load(self, wanted: Sequence[str], report: Report, cancel: Cancel) -> list[str]:
        """Bring local images into the nodes; those already there with the same id are skipped."""

        def load_archive(archive: Path, receivers: Sequence[str]) -> None:
            argv = ["load", "image-archive", str(archive), "--name", self.name, "--nodes", ",".join(receivers)]
            self.kind(argv, LOAD_SECONDS, cancel)

        self.paths.make()
        try:
            return images.bring_in(self.engine, self.nodes, wanted, self.paths.folder, load_archive, report, cancel)
        except CommandFailed as error:
            last = next((line for line in reversed(error.output.splitlines()) if line.strip()), "")
            raise ClusterError(
                f"an image could not be brought into the cluster: {last}", detail=error.detail
            ) from error

    def kind(self, argv: Sequence[str], seconds: float, cancel: Cancel, on_line: Report | None = None) -> Finished:
        """Run kind against this engine and network. Raises `ToolMissing`, `CommandFailed`, `NotReady`, `Cancelled`."""
        try:
            return self.run(
                [self.program, *argv], seconds=seconds, cancel=cancel, on_line=on_line, marker=self.variables()
            )
        except ToolMissing as error:
            raise ToolMissing(
                f"{self.program} is not installed or not on PATH", hint=f"install it: {INSTALL}"
            ) from error

    def variables(self) -> dict[str, str]:
        """What makes kind use our engine and network, and what marks its process as ours."""
        engine = self.endpoint.engine
        named = {f"KIND_EXPERIMENTAL_{engine.upper()}_NETWORK": self.network, "KIND_EXPERIMENTAL_PROVIDER": engine}
        if engine == "docker":
            named["DOCKER_HOST"] = self.endpoint.url
        elif not self.endpoint.default:
            named["CONTAINER_HOST"] = self.endpoint.url
        return {**named, labels.MARKER: self.environment}

    def _check_program(self) -> None:
        version = kind_errors.version_of(self.kind(["version"], 20.0, Cancel()).output)
        if version and version < kind_errors.OLDEST_KIND:
            raise kind_errors.too_old(version)

    def _scratch(self) -> tuple[Path, ...]:
        folder = self.paths.folder
        return (folder / "kind.yaml", folder / "kind.kubeconfig", folder / "kind.kubeconfig.lock")


def _image_of(version: str | None) -> str | None:
    return f"docker.io/kindest/node:v{version.lstrip('v')}" if version else None


class _Creation:
    """One run of `kind create`, raced against probes of our own."""

    def __init__(self, kind: Kind, cluster: Cluster, config: Mapping[str, Any], report: Report, cancel: Cancel) -> None:
        self.kind, self.cluster, self.config, self.report, self.cancel = kind, cluster, config, report, cancel
        self.deadline = time.monotonic() + cluster.timeout
        self.stop = Cancel()
        self.finished: Future[Finished]

    def run(self, work: Callable[[Path], None] | None) -> None:
        """Start kind, probe, hand over to `work`; return when all three are done. Whoever fails stops the others."""
        self.kind.paths.make()
        with ThreadPoolExecutor(2, thread_name_prefix="kind") as pool:
            self.finished = pool.submit(self._kind)
            try:
                api = self._api_server()
                helping = pool.submit(work, self.kind.paths.kubeconfig) if work else None
                self._nodes_ready(api)
                self._until(lambda: None if self.finished.done() else "kind is still at work", "kind create to end")
                self._raise_for_kind()
                if helping:
                    helping.result()
            except BaseException:
                self.stop.abort()
                raise

    def _kind(self) -> Finished:
        config, scratch, lock = self.kind._scratch()
        for stale in (scratch, lock):
            stale.unlink(missing_ok=True)
        write_private(config, kind_config.render(self.config))
        argv = ["create", "cluster", "--name", self.kind.name, "--config", str(config), "--retain"]
        try:
            return self.kind.kind([*argv, "--kubeconfig", str(scratch)], self._left() + 5, self.stop, self._progress)
        finally:
            for path in (scratch, lock):
                path.unlink(missing_ok=True)

    def _api_server(self) -> Api:
        """Read the admin's kubeconfig from the node as soon as kubeadm wrote it, and wait for /readyz."""
        self._until(self._admin, "the control plane's kubeconfig")
        api = Api.of(self.kind.paths.kubeconfig)
        seconds = self._until(api.readyz, "the API server")
        self.report(f"the API server is ready, {seconds:.1f} s after its kubeconfig")
        return api

    def _admin(self) -> str | None:
        return self.kind.write_kubeconfig(ClusterFacts(self.kind.nodes.all()))

    def _nodes_ready(self, api: Api) -> None:
        count = len(self.config["nodes"])
        ours = kind_config.pod_range(self.config)
        if ours and api.version() < kind_config.RANGES_BY_CONTROLLER:
            self._until(lambda: api.give_pod_range(ours), "the node to register")
        for probe, what in (
            (lambda: api.node_ready(count), "every node to be Ready"),
            (api.default_account, "the ServiceAccount default/default"),
        ):
            seconds = self._until(probe, what)
            self.report(f"waited {seconds:.1f} s for {what}")

    def _until(self, probe: Callable[[], str | None], what: str) -> float:
        """Wait, but not for a kind that has failed."""

        def attempt() -> str | None:
            if self.finished.done():
                self._raise_for_kind()
            return probe()

        hint = f"the nodes' logs are in {self.kind.paths.logs}"
        return until(attempt, what=what, seconds=self._left(), cancel=self.cancel, hint=hint, slowest=0.2)

    def _raise_for_kind(self) -> None:
        try:
            self.finished.result()
        except CommandFailed as error:
            raise self._explained(error) from error

    def _explained(self, error: CommandFailed) -> EnvkitError:
        logs = ""
        with suppress(EnvkitError):
            logs = "\n".join(self.kind.nodes.logs(node.name) for node in self.kind.nodes.all())
        named = [str(node.get("image", "")) for node in self.config["nodes"]]
        path = self.kind.paths.logs / "kind-create.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(error.output)
        return kind_errors.explain(error.output, logs, image=named[0])

    def _left(self) -> float:
        return max(0.1, self.deadline - time.monotonic())

    def _progress(self, line: str) -> None:
        """What kind says it is doing, without decoration."""
        step = re.match(r"\s*•\s+([\w ()<>=/:.,≤-]+)", line)
        if step:
            self.report(f"kind: {step[1].strip()}")
