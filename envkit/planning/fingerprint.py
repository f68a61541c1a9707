"""Compute fingerprints: short digests of everything that a service or cluster is made from.

If the fingerprint of a running service equals the desired one, the service can stay. Probes, timeouts, exports and
needs are not part of a fingerprint, because they do not change the service itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envkit.config.models import Cluster, Port, Service
from envkit.config.shipped import migrations_folder

LENGTH = 16
"""Hexadecimal digits of a fingerprint; 64 bits are enough to distinguish the versions of one service."""

PART = 8
"""Hexadecimal digits of one field's digest; few are enough, because a digest is compared with one other only."""

INSIDE = {
    "platform", "entrypoint", "command", "user", "workdir", "env", "memory", "shm", "tmpfs", "capabilities",
    "once", "host_command", "migrations", "process",
}  # fmt: skip
"""Fields of a service that enter its fingerprint unchanged."""

NODE = {"type", "node_image", "kubernetes", "limits", "config", "kubeconfig", "context"}
"""Fields of a cluster that cannot be changed while it runs."""


def fingerprint(service: Service, image_id: str, *, offset: int = 0) -> str:
    """Return the fingerprint of a service with resolved references, including the contents of its files.

    `offset` is added to fixed host ports.
    """
    return _digest(_seen(service, image_id, offset))


def fields(service: Service, image_id: str) -> dict[str, str]:
    """Return one digest per field (`env.NAME`, `files./path`), to report changed fields without storing values."""
    seen = _seen(service, image_id, 0)
    seen["files"] = {path: rest for path, *rest in seen["files"]}
    return _parts(seen)


def cluster_fields(cluster: Cluster, offset: int = 0) -> dict[str, str]:
    """Return one digest per field of the data that `cluster_fingerprint` covers."""
    return _parts(_seen_of_cluster(cluster, offset))


def _parts(seen: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, Any] = {}
    for key, value in seen.items():
        inner = value.items() if isinstance(value, dict) else ()
        flat |= {f"{key}.{name}": it for name, it in inner} or {key: value}
    return {key: _digest(value)[:PART] for key, value in flat.items() if value not in (None, [], {}, False, "")}


def _seen(service: Service, image_id: str, offset: int) -> dict[str, Any]:
    seen = service.model_dump(mode="json", include=INSIDE)
    seen["image"] = image_id
    seen["ports"] = {name: [port.container, _host(port, offset)] for name, port in service.ports.items()}
    seen["files"] = [
        [file.path, file.permissions, file.owner, _content(file.content, file.source)] for file in service.files
    ]
    if service.migrations:
        seen["folder"] = dict(_tree(migrations_folder(service.migrations.folder)))
    return seen


def cluster_fingerprint(cluster: Cluster, offset: int = 0) -> str:
    """Return the fingerprint of the fields whose change requires a new node.

    The node image must be final: if it has a substitute, `cluster` contains the substitute.
    """
    return _digest(_seen_of_cluster(cluster, offset))


def _seen_of_cluster(cluster: Cluster, offset: int) -> dict[str, Any]:
    seen = cluster.model_dump(mode="json", include=NODE)
    seen["ports"] = sorted([port.node, port.host + offset] for port in cluster.ports)
    return seen


def bootstrap_fingerprint(cluster: Cluster) -> str:
    """Return the fingerprint of what envkit applies in the cluster: manifests, namespaces, identities and images."""
    seen = cluster.model_dump(mode="json", include={"namespaces", "identities", "images"})
    seen["manifests"] = [dict(_tree(Path(manifest))) for manifest in cluster.manifests]
    return _digest(seen)


def _host(port: Port, offset: int) -> int | str | None:
    return port.host + offset if isinstance(port.host, int) else port.host


def _content(content: str | None, source: str | None) -> str:
    try:
        data = content.encode() if content is not None else Path(source or "").read_bytes()
    except FileNotFoundError:  # a certificate that `up` will create; loading has checked that all other files exist
        return ""
    return hashlib.sha256(data).hexdigest()


def _tree(path: Path) -> Iterator[tuple[str, str]]:
    """Yield every file below the path, or the file itself, with the digest of its content."""
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            yield file.relative_to(path.parent).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()


def _digest(seen: Any) -> str:
    canonical = json.dumps(seen, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:LENGTH]
