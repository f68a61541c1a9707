"""A cluster that kind makes, on the environment's engine and in its network.

kind's exit code is not enough, and its `--wait` checks too little. The cluster is ready when `/readyz` passes, every
node is Ready and the ServiceAccount `default` exists. Work in the cluster can start while kind still runs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from envkit.base import commands, labels
from envkit.base.abilities import able
from envkit.base.commands import CommandFailed, Finished
from envkit.base.errors import ClusterError, EngineError, EnvironmentFailed, ImageUnavailable, ToolMissing
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel, until
from envkit.config.images import names_of
from envkit.config.models import Cluster
from envkit.drivers.clusters import images, kind_config, kind_errors
from envkit.drivers.clusters.api import Api
from envkit.drivers.clusters.base import ClusterKind, Opening
from envkit.drivers.clusters.creation import Creation
from envkit.drivers.clusters.node_files import NodeFiles
from envkit.drivers.clusters.node_image import PROGRAM, default_image, program
from envkit.drivers.clusters.nodes import CLUSTER_LABEL, MARKER_FILE, ClusterFacts, Engine, Nodes
from envkit.drivers.clusters.remains import end_processes, save_logs
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes.base import RunsOnEngine
from envkit.drivers.runtimes.usage import Usage
from envkit.drivers.supply.images import Images
from envkit.planning.desired import node_image

Report = Callable[[str], None]
LOAD_SECONDS = 300.0
EXPORT_SECONDS = 50.0
RETRY_SECONDS = 60.0
WITHOUT = "--lane mixed runs etcd and kube-apiserver as containers, --lane embedded runs everything as processes"
INSTALL = "https://kind.sigs.k8s.io/docs/user/quick-start/#installation"


@dataclass
class Kind:
    """The kind cluster of one environment.

    envkit makes `network` with labels before kind runs, because kind cannot label the resources that it makes.
    """

    endpoint: Endpoint
    environment: str
    network: str
    paths: Paths
    engine: Engine
    run: Callable[..., Finished] = commands.run
    program: str = PROGRAM
    mirrors: Mapping[str, str] = field(default_factory=dict)
    node_image: str | None = None
    """The name of the node image; None for kind's default image."""
    port_offset: int = 0
    find_program: Callable[[str], str | None] = shutil.which
    _usable: bool = False
    _prepared: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The cluster's name in kind."""
        return labels.resource_name(self.environment)

    def names(self) -> list[str]:
        """Return the names of the cluster's nodes."""
        return [node.name for node in self.nodes.all()]

    @property
    def nodes(self) -> Nodes:
        """The cluster's nodes."""
        return Nodes(self.engine, self.name, self.network)

    @property
    def node_files(self) -> NodeFiles:
        """The reader of files in the control plane's node."""
        return NodeFiles(self.engine, self.paths)

    def observe(self) -> ClusterFacts:
        """Return the cluster's current state. Nodes are found by kind's label and the environment's network."""
        facts = ClusterFacts(self.nodes.all())
        plane = facts.control_plane
        return replace(facts, fingerprint=self.node_files.fingerprint(plane) if plane else "")

    def create(
        self, cluster: Cluster, fingerprint: str, report: Report, cancel: Cancel,
        work: Callable[[Path], None] | None = None,
    ) -> ClusterFacts:  # fmt: skip
        """Make the cluster and wait until it is ready, within `cluster.timeout`; return its state.

        As soon as the API server is ready, a thread calls `work` with the kubeconfig, because CRDs and namespaces need
        no node. If `work` raises an exception, this raises it after the cluster is complete. After any other failure
        the logs are in `paths.logs`, and the nodes stay until `delete`. After a temporary error, this removes the nodes
        and tries once more, if at least `RETRY_SECONDS` remain.
        """
        config = self._prepared or self.prepare(cluster, report, cancel)
        if self.nodes.all():
            report("removing what an earlier attempt left")
            self.nodes.remove_all()
        began = time.monotonic()
        try:
            return self._attempt(config, cluster.timeout, fingerprint, report, cancel, work)
        except ClusterError as error:
            left = cluster.timeout - (time.monotonic() - began)
            if not kind_errors.is_transient(error) or left < RETRY_SECONDS:
                raise
            report(f"{error.message}; this error is usually temporary: creating the cluster again")
            self.nodes.remove_all()
            return self._attempt(config, left, fingerprint, report, cancel, work)

    def check_tools(self) -> None:
        """Raise `ToolMissing` or `ClusterError` if kind or the engine's client, which kind calls, cannot be used."""
        if self._usable:
            return
        version = kind_errors.version_of(self.kind(["version"], 20.0, Cancel()).output)
        if version and version < kind_errors.OLDEST_KIND:
            raise kind_errors.too_old(version)
        if not self.find_program(self.endpoint.engine):
            raise kind_errors.no_client(self.endpoint.engine)
        self._usable = True

    def prepare(self, cluster: Cluster, report: Report, cancel: Cancel) -> dict[str, Any]:
        """Pull missing node images, check that the images to load are on this machine, and return kind's configuration.

        Changes no cluster.
        """
        self.check_tools()
        image = self.node_image or default_image(self.program)
        config = kind_config.generate(cluster, name=self.name, image=image, port_offset=self.port_offset)
        self._supply_images(config["nodes"], report, cancel)
        if cluster.images:
            images.local_ids(self.engine, cluster.images)
        self._prepared = config
        return config

    def _supply_images(self, nodes: Sequence[dict[str, Any]], report: Report, cancel: Cancel) -> None:
        """Pull the nodes' images before kind runs, because kind stops trying early and uses no mirror."""
        supply = Images(self.engine.api, self.endpoint.engine, self.mirrors)
        for node in nodes:
            wanted = node.get("image")
            if not wanted:
                continue
            try:
                here = next(iter(supply.ids(names_of(wanted))), "")
                node["image"] = here or supply.pull_first((wanted,), None, report, cancel)
            except ImageUnavailable as error:
                error.message = f"the node image cannot be had: {wanted}\n{error.message.partition(chr(10))[2]}"
                raise

    def _attempt(
        self, config: Mapping[str, Any], seconds: float, fingerprint: str,
        report: Report, cancel: Cancel, work: Callable[[Path], None] | None,
    ) -> ClusterFacts:  # fmt: skip
        creation = Creation(self, seconds, config, report, cancel)
        try:
            worked = creation.run(work)
            facts = self._mark(fingerprint)
        except EnvironmentFailed:
            creation.save_output()
            save_logs(self.nodes, self.paths.logs)
            raise
        worked.result()
        return facts

    def pause(self) -> None:
        """Freeze the nodes: they use no processor time until `resume`."""
        self.nodes.pause()

    def resume(self, report: Report, cancel: Cancel, seconds: float = 30.0) -> None:
        """Resume paused nodes and wait for the API server."""
        self.nodes.unpause()
        api = Api.of(self.paths.kubeconfig)
        until(api.readyz, what="the API server of the resumed cluster", seconds=seconds, cancel=cancel, progress=report)

    def restore_kubeconfig(self) -> None:
        """Write the administrator's kubeconfig again if it is lost."""
        if not self.paths.kubeconfig.exists():
            self.write_kubeconfig(ClusterFacts(self.nodes.all()))

    def write_kubeconfig(self, facts: ClusterFacts) -> str | None:
        """Write the administrator's kubeconfig with the API server's address on this host.

        Returns None, or the reason if the kubeconfig cannot be written yet.
        """
        return self.node_files.write_kubeconfig(facts, self.name)

    def delete(self) -> list[str]:
        """Remove the cluster's processes, nodes, volumes and files; return the names of the removed nodes.

        Does nothing if the cluster does not exist. Raises `HolderError` if the cluster has another owner.
        """
        self.nodes.check()
        end_processes(self.environment, self.name, self.engine.claim)
        removed = self.nodes.remove_all()
        for path in (self.paths.kubeconfig, self.node_files.known, *self.scratch()):
            path.unlink(missing_ok=True)
        return removed

    def load(self, wanted: Sequence[str], report: Report, cancel: Cancel) -> list[str]:
        """Load local images into the nodes; return the names of the images that at least one node lacked."""
        return [image for image, (_, nodes) in self.bring_in(wanted, report, cancel).items() if nodes]

    def bring_in(self, wanted: Sequence[str], report: Report, cancel: Cancel) -> dict[str, tuple[str, list[str]]]:
        """Load local images into the nodes; return for each image its id and the nodes that lacked it."""

        def load_archive(archive: Path, receivers: Sequence[str]) -> None:
            argv = ["load", "image-archive", str(archive), "--name", self.name, "--nodes", ",".join(receivers)]
            self.kind(argv, LOAD_SECONDS, cancel)

        self.nodes.check()
        self.paths.make()
        try:
            return images.bring_in(self.engine, self.nodes, wanted, self.paths.folder, load_archive, report, cancel)
        except CommandFailed as error:
            last = next((line for line in reversed(error.output.splitlines()) if line.strip()), "")
            raise ClusterError(
                f"an image could not be brought into the cluster: {last}", detail=error.detail
            ) from error

    def kind(self, argv: Sequence[str], seconds: float, cancel: Cancel, on_line: Report | None = None) -> Finished:
        """Run kind on this engine and network. Raises `ToolMissing`, `CommandFailed`, `NotReady` or `Cancelled`."""
        try:
            return self.run(
                [self.program, *argv], seconds=seconds, cancel=cancel, on_line=on_line, marker=self.variables()
            )
        except ToolMissing as error:
            raise ToolMissing(
                f"{self.program} is not installed or not on PATH",
                hint=f"install it: {INSTALL}\nor do without: {WITHOUT}",
            ) from error

    def variables(self) -> dict[str, str]:
        """Return the variables that make kind use this engine and network, and the marker variables of its process."""
        engine = self.endpoint.engine
        named = {f"KIND_EXPERIMENTAL_{engine.upper()}_NETWORK": self.network, "KIND_EXPERIMENTAL_PROVIDER": engine}
        if engine == "docker":
            named["DOCKER_HOST"] = self.endpoint.url
        elif not self.endpoint.default:
            named["CONTAINER_HOST"] = self.endpoint.url
        return {**named, **labels.marks_of(self.environment, self.engine.claim.owner)}

    def _mark(self, fingerprint: str) -> ClusterFacts:
        facts = ClusterFacts(self.nodes.all(), fingerprint)
        if facts.control_plane is None:
            raise ClusterError("the cluster's node disappeared during its creation", hint="check what removed it")
        self.engine.write_file(facts.control_plane.name, MARKER_FILE, fingerprint.encode())
        return facts

    def scratch(self) -> tuple[Path, ...]:
        """Return the paths of kind's temporary files.

        They are the configuration, a kubeconfig that kind writes but no program uses, and the lock of that kubeconfig.
        """
        folder = self.paths.folder
        return (folder / "kind.yaml", folder / "kind.kubeconfig", folder / "kind.kubeconfig.lock")

    def node_images(self, cluster: Cluster) -> list[str]:
        """Return the names of the images from which the nodes are made."""
        image = self.node_image or default_image(self.program)
        config = kind_config.generate(cluster, name=self.environment, image=image)
        return list(dict.fromkeys(node["image"] for node in config["nodes"] if node.get("image")))

    def usage(self) -> Usage:
        """Return the memory and the processor time of all nodes together. A node without an answer counts as zero."""
        names = [node.name for node in self.nodes.all()]
        with ThreadPoolExecutor(8, thread_name_prefix="usage") as pool:
            return sum(pool.map(self._usage_of, names), Usage())

    def _usage_of(self, node: str) -> Usage:
        with suppress(EngineError):
            return self.nodes.usage(node)
        return Usage()

    def began(self) -> str:
        """Return the start time of the first node, in the engine's format; empty if unknown."""
        with suppress(EngineError):
            for node in self.nodes.all():
                return self.nodes.began(node.name)
        return ""

    def export_logs(self, folder: Path, cancel: Cancel) -> None:
        """Run `kind export logs`, which writes the nodes' journals and the logs of kubelet, containerd and pods."""
        self.kind(["export", "logs", str(folder), "--name", self.name], EXPORT_SECONDS, cancel)

    def program_version(self) -> str:
        """Return the output of `kind version`."""
        return self.kind(["version"], 10.0, Cancel()).output.strip()


def opened(opening: Opening) -> Kind:
    """Return the cluster of an environment on its engine."""
    environment = opening.environment
    assert opening.endpoint is not None
    return Kind(
        opening.endpoint, environment.name, labels.resource_name(environment.name), opening.paths, opening.runtime,
        program=program(opening.environ, opening.cache), mirrors=environment.mirrors,
        node_image=node_image(environment), port_offset=environment.port_offset,
    )  # fmt: skip


def remains(name: str, paths: Paths, runtime: object) -> Kind | None:
    """Return an environment's cluster on the runtime's engine; None for a runtime without an engine.

    Returns a cluster even if no node exists: a kind process can still run after its envkit has died, and make a node
    soon.
    """
    on_engine = able(runtime, RunsOnEngine)
    if on_engine is None:
        return None
    return Kind(on_engine.endpoint, name, labels.resource_name(name), paths, cast("Engine", runtime))


KIND = ClusterKind(opened, remains=remains, node_label=CLUSTER_LABEL)
