"""What a running thing was made from, as a short digest: equal means that it can be kept.

What is asked of it from outside (probes, timeouts, exports, needs) is left out: changing that changes nothing inside.
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
"""Hexadecimal digits; 64 bits are plenty to tell the versions of one service apart."""

PART = 8
"""Of one field: it is compared with one other only."""

INSIDE = {
    "platform", "entrypoint", "command", "user", "workdir", "env", "memory", "shm", "tmpfs", "capabilities",
    "once", "host_command", "migrations", "process",
}  # fmt: skip
"""Fields of a service that the running thing is made from as they stand."""

NODE = {"type", "node_image", "kubernetes", "limits", "config", "kubeconfig", "context"}
"""Fields of a cluster that cannot be changed while it runs."""


def fingerprint(service: Service, image_id: str, *, offset: int = 0) -> str:
    """Of a service whose references are resolved, its files' contents included; `offset` moves the host ports."""
    return _digest(_seen(service, image_id, offset))


def fields(service: Service, image_id: str) -> dict[str, str]:
    """The same in parts: a digest by field (`env.NAME`, `files./path`), to tell what changed without keeping it."""
    seen = _seen(service, image_id, 0)
    seen["files"] = {path: rest for path, *rest in seen["files"]}
    return _parts(seen)


def cluster_fields(cluster: Cluster, offset: int = 0) -> dict[str, str]:
    """What `cluster_fingerprint` is made of, by field."""
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
    """What the node must be made anew for; give it the cluster with stand-in images put in."""
    return _digest(_seen_of_cluster(cluster, offset))


def _seen_of_cluster(cluster: Cluster, offset: int) -> dict[str, Any]:
    seen = cluster.model_dump(mode="json", include=NODE)
    seen["ports"] = sorted([port.node, port.host + offset] for port in cluster.ports)
    return seen


def bootstrap_fingerprint(cluster: Cluster) -> str:
    """What is applied inside the cluster: the manifests' contents, namespaces and identities."""
    seen = cluster.model_dump(mode="json", include={"namespaces", "identities", "images"})
    seen["manifests"] = [dict(_tree(Path(manifest))) for manifest in cluster.manifests]
    return _digest(seen)


def _host(port: Port, offset: int) -> int | str | None:
    return port.host + offset if isinstance(port.host, int) else port.host


def _content(content: str | None, source: str | None) -> str:
    try:
        data = content.encode() if content is not None else Path(source or "").read_bytes()
    except FileNotFoundError:  # a certificate that `up` will make; what a configuration names is there
        return ""
    return hashlib.sha256(data).hexdigest()


def _tree(path: Path) -> Iterator[tuple[str, str]]:
    """Every file below (or the file itself) with its content's digest."""
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            yield file.relative_to(path.parent).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()


def _digest(seen: Any) -> str:
    canonical = json.dumps(seen, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:LENGTH]
