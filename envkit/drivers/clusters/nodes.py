"""The cluster's nodes as containers of an engine: found by kind's label and our own network, never by memory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from envkit.base import labels
from envkit.base.errors import EngineError
from envkit.base.owner import Claim
from envkit.drivers.engine.sdk import executed, text, translated
from envkit.drivers.runtimes.usage import Usage

if TYPE_CHECKING:
    from docker import APIClient

CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
MARKER_FILE = "/kind/envkit-fingerprint"
"""Written into the first control plane when creation has succeeded: without it the cluster is half made."""

API_PORT = 6443


class Engine(Protocol):
    """What a cluster needs of the engine; `envkit.drivers.runtimes.containers.Containers` is one."""

    claim: Claim
    """Which clusters may be changed and removed."""

    @property
    def api(self) -> APIClient:
        """The SDK's low-level client."""

    def read_file(self, container: str, path: str) -> bytes | None:
        """A file's content, None when there is no such file or container."""

    def write_file(self, container: str, path: str, content: bytes) -> None:
        """Put a file into a container."""

    def measured(self, container: str) -> Usage:
        """What it takes of the machine."""


@dataclass(frozen=True)
class Node:
    """One node. `address` is host:port of the API server on this machine, empty where the node publishes none."""

    name: str
    role: str
    state: str
    address: str = ""
    id: str = ""


@dataclass(frozen=True)
class ClusterFacts:
    """What there is of the cluster. `fingerprint` is empty for a cluster whose creation never succeeded."""

    nodes: tuple[Node, ...] = ()
    fingerprint: str = ""

    @property
    def state(self) -> Literal["absent", "running", "paused", "stopped"]:
        """Of all nodes together: one that stopped stops the cluster."""
        states = {node.state for node in self.nodes}
        if not states:
            return "absent"
        if states == {"running"}:
            return "running"
        return "paused" if states <= {"running", "paused"} else "stopped"

    @property
    def control_plane(self) -> Node | None:
        """The first control plane, which carries the marker."""
        planes = sorted((node for node in self.nodes if node.role == "control-plane"), key=lambda node: len(node.name))
        return planes[0] if planes else None

    @property
    def address(self) -> str:
        """host:port of the API server as seen from this machine; several control planes have a balancer before them."""
        balanced = sorted(self.nodes, key=lambda node: node.role != "external-load-balancer")
        return next((node.address for node in balanced if node.address), "")


class Nodes:
    """The containers of one cluster: what carries its exact label *and* is in the environment's network.

    kind labels what it makes with nothing of ours, so the network's labels say whose the nodes are.
    """

    def __init__(self, engine: Engine, cluster: str, network: str) -> None:
        self.engine, self.cluster, self.network = engine, cluster, network

    def all(self) -> tuple[Node, ...]:
        """All of them, running or not, by name."""
        with translated("listing the cluster's nodes"):
            rows = self.engine.api.containers(all=True, filters={"label": f"{CLUSTER_LABEL}={self.cluster}"})
        ours = (row for row in rows if self.network in ((row.get("NetworkSettings") or {}).get("Networks") or {}))
        return tuple(sorted(map(_node, ours), key=lambda node: node.name))

    def check(self) -> None:
        """Raise `HolderError` when the environment's network, and so the cluster, is not ours."""
        with translated("listing networks"):
            rows = self.engine.api.networks(names=[self.network])
        for row in rows:
            if row["Name"] == self.network:
                self.engine.claim.check(labels.owner_of(row.get("Labels") or {}), f"the cluster {self.cluster}")

    def remove_all(self) -> list[str]:
        """Remove them with their volumes until none is left; the names of what was removed.

        Raises `HolderError` when the cluster is not ours.
        """
        self.check()
        removed = []
        for _ in range(5):  # a `run` that the engine was still working on may finish after the first listing
            nodes = self.all()
            if not nodes:
                break
            for node in nodes:
                self._remove(node.name)
                removed.append(node.name)
        self._remove_volumes()
        return removed

    def execute(self, node: str, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command in a node; exit code and output."""
        with translated(f"running {argv[0]} in {node}"):
            return executed(self.engine.api, node, argv)

    def logs(self, node: str) -> str:
        """What the node's own init printed."""
        with translated(f"reading the log of {node}"):
            return text(self.engine.api.logs(node, tail=500))

    def began(self, node: str) -> str:
        """When it was started, as the engine writes it."""
        with translated(f"inspecting {node}"):
            return str(self.engine.api.inspect_container(node)["State"].get("StartedAt", ""))

    def usage(self, node: str) -> Usage:
        """Memory and processor time of everything in a node."""
        with translated(f"measuring {node}"):
            return self.engine.measured(node)

    def pause(self) -> None:
        """Freeze every node that runs."""
        self.check()
        for node in self.all():
            if node.state == "running":
                with translated(f"pausing {node.name}"):
                    self.engine.api.pause(node.name)

    def unpause(self) -> None:
        """Resume paused nodes: `/readyz` answers 0.3 s later."""
        self.check()
        for node in self.all():
            if node.state == "paused":
                with translated(f"resuming {node.name}"):
                    self.engine.api.unpause(node.name)

    def _remove(self, container: str) -> None:
        from docker.errors import NotFound

        try:
            with translated(f"removing {container}"):
                self.engine.api.remove_container(container, v=True, force=True)
        except EngineError as error:
            gone = isinstance(error.__cause__, NotFound) or "already in progress" in error.message
            if not gone:
                raise

    def _remove_volumes(self) -> None:
        """On Podman, kind makes a volume for a node's /var, its label the node's name; one in use is not ours."""
        from docker.errors import APIError

        ours = re.compile(rf"{re.escape(self.cluster)}-(control-plane|worker)\d*")
        with translated("listing volumes"):
            found = self.engine.api.volumes().get("Volumes") or []
        for volume in (row for row in found if any(ours.fullmatch(key) for key in row.get("Labels") or {})):
            try:
                with translated(f"removing volume {volume['Name']}"):
                    self.engine.api.remove_volume(volume["Name"])
            except EngineError as error:
                if not isinstance(error.__cause__, APIError):
                    raise


def _node(row: Mapping[str, Any]) -> Node:
    """Of a row of the engine's list: to inspect a container takes Podman ten times as long as to list it."""
    ports, names = row.get("Ports") or [], row.get("Names") or [row["Id"][:12]]  # none while it is being removed
    bound = next((port for port in ports if port.get("PrivatePort") == API_PORT and port.get("PublicPort")), None)
    return Node(
        name=str(names[0]).lstrip("/"),
        role=(row.get("Labels") or {}).get(ROLE_LABEL, ""),
        state=str(row["State"]).lower(),
        address=f"{bound.get('IP') or '127.0.0.1'}:{bound['PublicPort']}" if bound else "",
        id=str(row["Id"]),
    )
