"""Files of the control plane's node that envkit reads: the mark of a finished cluster, the admin's kubeconfig."""

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
    """The reader of those files; `paths` is where it keeps what it read."""

    engine: Engine
    paths: Paths

    @property
    def known(self) -> Path:
        """The file that keeps the fingerprint on this host."""
        return self.paths.folder / "node-fingerprint"

    def fingerprint(self, plane: Node) -> str:
        """Return what was written into the node when the cluster was finished; empty if it never was.

        The file does not change during the node's life, so it is read once: an engine takes 0.15 to 0.2 s to hand it
        out. An engine never gives the id of a container to another one.
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
        """Write the administrator's kubeconfig with the host's port as its server; return why that is not possible."""
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
        text = kubeconfig.render(replace(access, server=f"https://{facts.address}"), cluster)
        write_private(self.paths.kubeconfig, text)
        return None
