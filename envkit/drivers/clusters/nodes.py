"""Finds, changes and removes a cluster's nodes: containers with kind's label in the environment's network."""

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
"""A file in the first control plane, written after the creation has succeeded. A cluster without it is incomplete."""

API_PORT = 6443


class Engine(Protocol):
    """The methods of an engine that a cluster needs; `envkit.drivers.runtimes.containers.Containers` has them."""

    claim: Claim
    """The claim decides which clusters envkit is allowed to change and remove."""

    @property
    def api(self) -> APIClient:
        """The low-level client of Docker's SDK."""

    def read_file(self, container: str, path: str) -> bytes | None:
        """Return a file's content, or None if the file or the container does not exist."""

    def write_file(self, container: str, path: str, content: bytes) -> None:
        """Write a file into a container."""

    def measured(self, container: str) -> Usage:
        """Return the memory and the processor time that the container uses."""


@dataclass(frozen=True)
class Node:
    """One node. `address` is the API server's host:port on this machine; empty if the node does not publish it."""

    name: str
    role: str
    state: str
    address: str = ""
    id: str = ""


@dataclass(frozen=True)
class ClusterFacts:
    """The current state of the cluster. `fingerprint` is empty if its creation never succeeded."""

    nodes: tuple[Node, ...] = ()
    fingerprint: str = ""
    dead: tuple[str, ...] = ()

    @property
    def node_names(self) -> tuple[str, ...]:
        """The names of the nodes."""
        return tuple(node.name for node in self.nodes)

    @property
    def state(self) -> Literal["absent", "running", "paused", "stopped"]:
        """The state of all nodes together: `stopped` if one of them neither runs nor is paused."""
        states = {node.state for node in self.nodes}
        if not states:
            return "absent"
        if states == {"running"}:
            return "running"
        return "paused" if states <= {"running", "paused"} else "stopped"

    @property
    def control_plane(self) -> Node | None:
        """The first control plane, which contains the marker file; None if there is no control plane."""
        planes = sorted((node for node in self.nodes if node.role == "control-plane"), key=lambda node: len(node.name))
        return planes[0] if planes else None

    @property
    def address(self) -> str:
        """The API server's host:port on this machine, or the load balancer's host:port if the cluster has one."""
        balanced = sorted(self.nodes, key=lambda node: node.role != "external-load-balancer")
        return next((node.address for node in balanced if node.address), "")


class Nodes:
    """The nodes of one cluster: containers that have the cluster's label and are in the environment's network.

    kind cannot add envkit's labels to its containers, so the labels of the network show the owner of the nodes.
    """

    def __init__(self, engine: Engine, cluster: str, network: str) -> None:
        self.engine, self.cluster, self.network = engine, cluster, network

    def all(self) -> tuple[Node, ...]:
        """Return all nodes, running or not, sorted by name."""
        with translated("listing the cluster's nodes"):
            rows = self.engine.api.containers(all=True, filters={"label": f"{CLUSTER_LABEL}={self.cluster}"})
        ours = (row for row in rows if self.network in ((row.get("NetworkSettings") or {}).get("Networks") or {}))
        return tuple(sorted(map(_node, ours), key=lambda node: node.name))

    def check(self) -> None:
        """Raise `HolderError` if the environment's network, and therefore the cluster, has another owner."""
        with translated("listing networks"):
            rows = self.engine.api.networks(names=[self.network])
        for row in rows:
            if row["Name"] == self.network:
                self.engine.claim.check(labels.owner_of(row.get("Labels") or {}), f"the cluster {self.cluster}")

    def remove_all(self) -> list[str]:
        """Remove all nodes and their volumes; return the names of the removed nodes.

        Repeats this up to five times, until no node is listed. Raises `HolderError` if the cluster has another owner.
        """
        self.check()
        removed = []
        for _ in range(5):  # sometimes the engine completes a container after the first listing
            nodes = self.all()
            if not nodes:
                break
            for node in nodes:
                self._remove(node.name)
                removed.append(node.name)
        self._remove_volumes()
        return removed

    def execute(self, node: str, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command in a node; return its exit code and output."""
        with translated(f"running {argv[0]} in {node}"):
            return executed(self.engine.api, node, argv)

    def logs(self, node: str) -> str:
        """Return the last 500 lines of the output of the node's init process."""
        with translated(f"reading the log of {node}"):
            return text(self.engine.api.logs(node, tail=500))

    def began(self, node: str) -> str:
        """Return the start time of the node in the engine's format."""
        with translated(f"inspecting {node}"):
            return str(self.engine.api.inspect_container(node)["State"].get("StartedAt", ""))

    def usage(self, node: str) -> Usage:
        """Return the memory and the processor time of the whole node, with all its pods."""
        with translated(f"measuring {node}"):
            return self.engine.measured(node)

    def pause(self) -> None:
        """Freeze every running node."""
        self.check()
        for node in self.all():
            if node.state == "running":
                with translated(f"pausing {node.name}"):
                    self.engine.api.pause(node.name)

    def unpause(self) -> None:
        """Resume every paused node. The API server's `/readyz` answers about 0.3 s later."""
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
        """Remove the volumes for the nodes' /var. On Podman, kind makes them and labels each with its node's name.

        A volume that is still in use belongs to another cluster, so this does not remove it.
        """
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
    """Return the node that a row of the engine's list describes.

    An inspection of each node would take ten times as long as the list on Podman.
    """
    ports, names = row.get("Ports") or [], row.get("Names") or [row["Id"][:12]]  # no name during its removal
    bound = next((port for port in ports if port.get("PrivatePort") == API_PORT and port.get("PublicPort")), None)
    return Node(
        name=str(names[0]).lstrip("/"),
        role=(row.get("Labels") or {}).get(ROLE_LABEL, ""),
        state=str(row["State"]).lower(),
        address=f"{bound.get('IP') or '127.0.0.1'}:{bound['PublicPort']}" if bound else "",
        id=str(row["Id"]),
    )
