"""Collects facts about the cluster: objects without secret data, events, throttling, logs of pods, kind's export."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envkit.base.waiting import Cancel
from envkit.drivers.clusters.api import Api, ApiError, Busy
from envkit.evidence.collectors.context import CollectionContext, Collector, each

LIMIT = 500
"""Maximum number of objects that are collected of one kind."""

LINES = 2000
"""Number of lines that are read from the end of a container's log."""

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
HIDDEN_KINDS = frozenset({"secrets"})
BORING = frozenset({"leases", "endpointslices", "componentstatuses", "flowschemas", "prioritylevelconfigurations"})

METRICS = re.compile(
    r"^(apiserver_(flowcontrol_rejected_requests_total|current_inflight_requests|current_inqueue_requests|"
    r"dropped_requests_total|request_terminations_total|request_total\{.*code=\"(429|5\d\d)\")|process_resident_memory).*",
    re.MULTILINE,
)


def resources(scene: CollectionContext) -> None:
    """Collect the API server's health, version, throttling and events, then the objects of every kind as YAML."""
    api = _api(scene)
    if api is None:
        return
    for name, path in (("readyz", "/readyz?verbose"), ("version", "/version"), ("livez", "/livez?verbose")):
        with scene.noted(f"cluster/{name}"):
            answer = api.request("GET", path)
            scene.bundle.text(f"cluster/{name}.txt", f"{answer.status}\n{answer.body}\n")
    with scene.noted("cluster/throttling"):
        found = METRICS.finditer(str(api.request("GET", "/metrics").body))
        scene.bundle.text("cluster/throttling.txt", "\n".join(match[0] for match in found) + "\n")
    with scene.noted("cluster/events"):
        scene.bundle.text("cluster/events.txt", _events(api))
    each(scene, _kinds(api), lambda one: f"cluster/{one[0]}", lambda one: _objects(scene, api, *one))


def _api(scene: CollectionContext) -> Api | None:
    kubeconfig = scene.paths.kubeconfig
    if not scene.environment.cluster.wanted or not kubeconfig.exists():
        return None
    return Api.of(kubeconfig)


def _kinds(api: Api) -> Iterator[tuple[str, str]]:
    """Yield the name and the API path of each kind of object that can be listed."""
    groups = [("v1", "/api/v1")]
    for group in api.ask("GET", "/apis").get("groups") or []:
        version = group["preferredVersion"]["groupVersion"]
        groups.append((version, f"/apis/{version}"))
    for version, path in groups:
        for kind in api.ask("GET", path).get("resources") or []:
            name = str(kind["name"])
            if "/" in name or "list" not in kind["verbs"] or name in BORING or name == "events":
                continue
            group = version.rpartition("/")[0]
            yield (f"{name}.{group}" if group else name), f"{path}/{name}"


def _objects(scene: CollectionContext, api: Api, name: str, path: str) -> None:
    found = api.ask("GET", f"{path}?limit={LIMIT}").get("items") or []
    if found:
        scene.bundle.yaml(f"cluster/objects/{name}.yaml", [_tidied(item, path) for item in found])


def _tidied(item: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the object without its bulky parts. Of a secret's data, keep only the names of the keys."""
    metadata = item.get("metadata") or {}
    metadata.pop("managedFields", None)
    (metadata.get("annotations") or {}).pop(APPLIED, None)
    if path.rpartition("/")[2] in HIDDEN_KINDS:
        return {"metadata": metadata, "type": item.get("type"), "keys": sorted(item.get("data") or {})}
    if path.endswith("/customresourcedefinitions"):
        return {"metadata": metadata, "status": item.get("status")}
    return item


def _events(api: Api) -> str:
    """Return the cluster's events, one line each, the oldest first."""
    items = api.ask("GET", f"/api/v1/events?limit={LIMIT * 4}").get("items") or []
    return "\n".join(sorted(_event(item) for item in items)) + "\n"


def _event(item: Mapping[str, Any]) -> str:
    at = item.get("lastTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp")
    about = item.get("involvedObject") or {}
    where = f"{about.get('namespace', '')}/{about.get('kind', '')}/{about.get('name', '')}"
    message = " ".join(str(item.get("message", "")).split())
    return f"{at} {item.get('type', '')} {where} {item.get('reason', '')} x{item.get('count') or 1}: {message}"


def pods(scene: CollectionContext) -> None:
    """Collect the log of every container of every pod. For a restarted container, also collect the previous log."""
    api = _api(scene)
    if api is None or not api.ask("GET", "/api/v1/nodes").get("items"):
        return  # without a node no pod runs, so there are no logs
    found = api.ask("GET", f"/api/v1/pods?limit={LIMIT}").get("items") or []
    each(scene, found, lambda pod: f"pod {pod['metadata']['name']}", lambda pod: _pod(scene, api, pod))


def _pod(scene: CollectionContext, api: Api, pod: Mapping[str, Any]) -> None:
    space, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    status = pod.get("status") or {}
    for one in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        container = one["name"]
        path = f"/api/v1/namespaces/{space}/pods/{name}/log?container={container}&tailLines={LINES}&timestamps=true"
        for suffix, more in (("", ""), (".previous", "&previous=true")) if one.get("restartCount") else (("", ""),):
            try:
                said = api.ask("GET", path + more)
            except (Busy, ApiError) as error:
                said = f"not available: {error.message}\n"
            scene.bundle.text(f"pods/{space}/{name}/{container}{suffix}.log", str(said))


def nodes(scene: CollectionContext) -> None:
    """Export the nodes' logs into a temporary folder, and copy them into the bundle, redacted."""
    from envkit.base.abilities import able
    from envkit.drivers.clusters.base import RunsPods

    if not scene.environment.cluster.wanted or (cluster := able(scene.drivers.cluster, RunsPods)) is None:
        return
    if scene.drivers.cluster.observe().state != "running":
        return
    with tempfile.TemporaryDirectory(prefix="envkit-nodes-") as scratch:
        with scene.noted("the nodes' logs"):
            cluster.export_logs(Path(scratch), Cancel())
        for path in sorted(Path(scratch).rglob("*")):
            if path.is_file() and not path.is_symlink():
                with scene.noted(f"nodes/{path.name}"):
                    scene.bundle.copy(f"nodes/{path.relative_to(scratch)}", path, 512 << 10)


COLLECTORS = (
    Collector("cluster", resources, 45),
    Collector("pods", pods, 45),
    Collector("nodes", nodes, 60),
)
