"""Generates kind's configuration: required settings and faster settings, then the user's settings merged over both.

All functions are pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import yaml

from envkit.base.ports import LOOPBACK
from envkit.config.models import Cluster, Limits

APPENDED = frozenset({
    "kubeadmConfigPatches", "kubeadmConfigPatchesJSON6902", "containerdConfigPatches",
    "containerdConfigPatchesJSON6902", "extraPortMappings", "extraMounts",
})  # fmt: skip
"""Lists in which envkit's entries come first and the user's entries second. kind applies patches in this order, so the
user's patches take precedence."""

ETCD = "/tmp/etcd"  # noqa: S108 - inside the node
"""etcd's data directory. In every kind node it is on a tmpfs, which is fast, but its data is lost when the node stops;
envkit then replaces the node."""

RANGES_BY_CONTROLLER = (1, 23)
"""The first Kubernetes version for which kind writes v1beta3 or newer of kubeadm's API. From this version on, envkit
leaves the controller on that sets the nodes' pod ranges."""

KUBELET = {
    "kind": "KubeletConfiguration",
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "nodeStatusUpdateFrequency": "1s",  # with the default of 10 s, this is most of kind's wait for Ready
    "fileCheckFrequency": "1s",
    "syncFrequency": "1s",
    "kubeAPIQPS": 50,  # the defaults since Kubernetes 1.27; earlier defaults, 5 and 10, throttle a starting node
    "kubeAPIBurst": 100,
}


def generate(cluster: Cluster, *, name: str, image: str | None = None, port_offset: int = 0) -> dict[str, Any]:
    """Return kind's configuration for a cluster.

    It publishes ports on 127.0.0.1, unless the user's configuration names another address. Adds `port_offset` to fixed
    host ports.
    """
    config = merge(_base(name), {key: value for key, value in cluster.config.items() if key != "nodes"})
    config["nodes"] = _nodes(cluster, image)
    _apply_offset(config, port_offset)
    tuned = _patches(config, cluster.limits)
    config["kubeadmConfigPatches"] = [*tuned, *config.get("kubeadmConfigPatches", [])]
    return config


def render(config: Mapping[str, Any]) -> str:
    """Return the configuration as YAML."""
    return yaml.safe_dump(dict(config), sort_keys=False)


def merge(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return both merged: mappings recursively, and lists in `APPENDED` joined.

    Any other value in `theirs` replaces the value in `ours`.
    """
    merged = dict(ours)
    for key, value in theirs.items():
        mine = merged.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(mine, value)
        elif key in APPENDED and isinstance(value, list):
            merged[key] = [*(mine or []), *value]
        else:
            merged[key] = value
    return merged


def _base(name: str) -> dict[str, Any]:
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": name,
        "networking": {"apiServerAddress": LOOPBACK},
    }


def _nodes(cluster: Cluster, image: str | None) -> list[dict[str, Any]]:
    """Return the user's nodes, else one control plane. The first control plane publishes the configured ports."""
    theirs = cluster.config.get("nodes") or [{"role": "control-plane"}]
    nodes = [{"role": "control-plane", **node} for node in theirs]
    first = next((i for i, node in enumerate(nodes) if node["role"] == "control-plane"), 0)
    ports = [{"containerPort": port.node, "hostPort": port.host} for port in cluster.ports]
    if ports:
        nodes[first] = merge({"extraPortMappings": ports}, nodes[first])
    if image:
        nodes = [{"image": image, **node} for node in nodes]
    return nodes


def _apply_offset(config: dict[str, Any], offset: int) -> None:
    """Add the offset to every fixed host port, also to the API server's port; publish on 127.0.0.1 by default."""
    network = config["networking"]
    if int(network.get("apiServerPort") or 0) > 0:
        network["apiServerPort"] += offset
    for node in config["nodes"]:
        if "extraPortMappings" in node:
            node["extraPortMappings"] = [_moved(mapping, offset) for mapping in node["extraPortMappings"]]


def _moved(mapping: Mapping[str, Any], offset: int) -> dict[str, Any]:
    moved = {"listenAddress": LOOPBACK, **mapping}
    if int(moved.get("hostPort") or 0) > 0:
        moved["hostPort"] += offset
    return moved


def _single(config: Mapping[str, Any]) -> bool:
    return [node["role"] for node in config["nodes"]].count("control-plane") == 1


def _kube_proxy(config: Mapping[str, Any]) -> bool:
    return str(config["networking"].get("kubeProxyMode")) != "none"


def pod_range(config: Mapping[str, Any]) -> str:
    """Return the pod range that envkit itself can set for a single node; empty for several nodes and for IPv6."""
    network = config["networking"]
    if len(config["nodes"]) > 1 or network.get("ipFamily", "ipv4") != "ipv4":
        return ""
    subnet = ipaddress.IPv4Network(network.get("podSubnet", "10.244.0.0/16"))
    return str(next(subnet.subnets(new_prefix=max(24, subnet.prefixlen))))


def _patches(config: Mapping[str, Any], limits: Limits) -> list[str]:
    """Return patches for each version of kubeadm's API. kind ignores patches for versions that it does not write.

    kind writes v1beta2 for Kubernetes < 1.23, v1beta3 from 1.23 on, and v1beta4 from 1.36 on, see
    https://github.com/kubernetes-sigs/kind/pull/4173. In v1beta4 `extraArgs` is a list, which kind merges by name.
    """
    documents: list[dict[str, Any]] = [KUBELET]
    for version in ("v1beta2", "v1beta3", "v1beta4"):
        ranges = version != "v1beta2" or not pod_range(config)
        documents.append(_cluster_configuration(version, limits, single=_single(config), ranges=ranges))
        documents.append(_init_configuration(version, kube_proxy=_kube_proxy(config)))
    return [yaml.safe_dump(document, sort_keys=False) for document in documents]


def _cluster_configuration(version: str, limits: Limits, *, single: bool, ranges: bool) -> dict[str, Any]:
    elect = {} if not single else {"leader-elect": "false"}  # no other candidate: saves 0.3 s, and a lease every 2 s
    inflight = {
        "max-requests-inflight": str(limits.inflight),
        "max-mutating-requests-inflight": str(limits.mutating_inflight),
    }
    controllers = {"kube-api-qps": str(limits.controller_qps), "kube-api-burst": str(limits.controller_burst), **elect}
    if not ranges:  # until Kubernetes 1.31 this controller delayed all controllers by 10 s: kubernetes#124113
        controllers["allocate-node-cidrs"] = "false"
    return {
        "kind": "ClusterConfiguration",
        "apiVersion": f"kubeadm.k8s.io/{version}",
        "apiServer": {"extraArgs": _arguments(version, inflight)},
        "controllerManager": {"extraArgs": _arguments(version, controllers)},
        **({"scheduler": {"extraArgs": _arguments(version, elect)}} if elect else {}),
        "etcd": {"local": {"dataDir": ETCD, "extraArgs": _arguments(version, {"unsafe-no-fsync": "true"})}},
        **_elliptic(version),
    }


def _elliptic(version: str) -> dict[str, Any]:
    """Return the setting for ECDSA keys, because kubeadm needs 2 to 5 s on two cores to make its ten RSA keys.

    Kubernetes removed the feature gate together with v1beta3: https://github.com/kubernetes/kubernetes/pull/136016
    """
    if version == "v1beta4":
        return {"encryptionAlgorithm": "ECDSA-P256"}
    return {"featureGates": {"PublicKeysECDSA": True}}


def _init_configuration(version: str, *, kube_proxy: bool) -> dict[str, Any]:
    """Return settings that avoid a restart of the kubelet for certificate rotation.

    A cluster that exists for less than a year does not need rotation. The list of skipped phases replaces kind's list,
    so it repeats kind's entries. v1beta2 has no such list, so there the kubelet's rotation is turned off: kubeadm then
    has nothing to finalize.
    """
    document: dict[str, Any] = {"kind": "InitConfiguration", "apiVersion": f"kubeadm.k8s.io/{version}"}
    if version == "v1beta2":
        document["nodeRegistration"] = {"kubeletExtraArgs": {"rotate-certificates": "false"}}
    else:
        proxy = [] if kube_proxy else ["addon/kube-proxy"]
        document["skipPhases"] = ["preflight", *proxy, "kubelet-finalize"]
    return document


def _arguments(version: str, arguments: Mapping[str, str]) -> dict[str, str] | list[dict[str, str]]:
    """Return the arguments in the form of that version: a mapping, or a list since v1beta4."""
    if version == "v1beta4":
        return [{"name": name, "value": value} for name, value in arguments.items()]
    return dict(arguments)
