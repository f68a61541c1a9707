"""Reads two files from the control plane's node: the fingerprint of a complete cluster, and the administrator's
kubeconfig.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from envkit.base import kubeconfig
from envkit.base.errors import ClusterError
from envkit.base.paths import Paths, write_private
from envkit.drivers.clusters.nodes import MARKER_FILE, ClusterFacts, Engine, Node

ADMIN = "/etc/kubernetes/admin.conf"


@dataclass(frozen=True)
class NodeFiles:
    """Reads files from the control plane's node. Local copies are in the folder of `paths`."""

    engine: Engine
    paths: Paths

    @property
    def known(self) -> Path:
        """The path of the local copy of the fingerprint."""
        return self.paths.folder / "node-fingerprint"

    def fingerprint(self, plane: Node) -> str:
        """Return the fingerprint from the node, or an empty string if the creation never succeeded.

        envkit writes the fingerprint into a file of the node after the creation. This file does not change during the
        node's life, and reading it from an engine takes 0.15 to 0.2 s. So this reads the file once and keeps a copy on
        this host with the container's id; an engine never gives the same id to another container.
        """
        with suppress(OSError):
            identity, _, known = self.known.read_text().partition(" ")
            if known and identity == plane.id:
                return known
        found = (self.engine.read_file(plane.name, MARKER_FILE) or b"").decode().strip()
        if found and plane.id and self.paths.folder.is_dir():
            write_private(self.known, f"{plane.id} {found}")
        return found

    def write_kubeconfig(self, facts: ClusterFacts, cluster: str) -> str | None:
        """Write the administrator's kubeconfig with the API server's address on this host.

        Returns None, or the reason if the kubeconfig cannot be written yet.
        """
        plane = facts.control_plane
        if plane is None or not facts.address:
            return "no node yet"
        raw = self.engine.read_file(plane.name, ADMIN) if plane.state in ("running", "paused") else None
        if not raw:
            return f"node {plane.name} is {plane.state}, no kubeconfig yet"
        try:
            access = kubeconfig.parse(raw.decode())
        except ClusterError as error:  # kubeadm is still writing the file
            return error.message
        text = kubeconfig.render(replace(access, server=f"https://{facts.address}"), cluster)
        write_private(self.paths.kubeconfig, text)
        return None
