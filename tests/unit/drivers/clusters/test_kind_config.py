"""Tests of the generated kind configuration: it is fast, fits old and new Kubernetes, and keeps the user's values."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from envkit.config.models import Cluster
from envkit.drivers.clusters.kind_config import generate, merge, pod_range, render


def generated(offset: int = 0, image: str | None = None, **cluster: Any) -> dict[str, Any]:
    return generate(Cluster(**cluster), name="envkit-t", image=image, port_offset=offset)


def patches(config: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    documents = [yaml.safe_load(text) for text in config["kubeadmConfigPatches"]]
    return {d["apiVersion"].rpartition("/")[2]: d for d in documents if d["kind"] == kind}


def test_the_api_server_is_published_on_loopback_only() -> None:
    assert generated()["networking"] == {"apiServerAddress": "127.0.0.1"}


def test_one_control_plane_by_default_with_the_image() -> None:
    assert generated(image="kindest/node:v1.36.0")["nodes"] == [
        {"image": "kindest/node:v1.36.0", "role": "control-plane"}
    ]


def test_every_kubeadm_version_has_its_own_patch() -> None:
    assert set(patches(generated(), "ClusterConfiguration")) == {"v1beta2", "v1beta3", "v1beta4"}
    assert set(patches(generated(), "InitConfiguration")) == {"v1beta2", "v1beta3", "v1beta4"}


def test_arguments_are_a_mapping_until_v1beta4_made_them_a_list() -> None:
    found = patches(generated(), "ClusterConfiguration")
    expected = {"max-requests-inflight": "800", "max-mutating-requests-inflight": "400"}
    assert found["v1beta3"]["apiServer"]["extraArgs"] == expected
    listed = found["v1beta4"]["apiServer"]["extraArgs"]
    assert {one["name"]: one["value"] for one in listed} == expected


def test_limits_reach_api_server_and_controllers() -> None:
    limits = {"inflight": 10, "mutating_inflight": 5, "controller_qps": 7, "controller_burst": 9}
    found = patches(generated(limits=limits), "ClusterConfiguration")["v1beta3"]
    assert found["apiServer"]["extraArgs"] == {"max-requests-inflight": "10", "max-mutating-requests-inflight": "5"}
    assert (
        found["controllerManager"]["extraArgs"] | {"kube-api-qps": "7", "kube-api-burst": "9"}
        == (found["controllerManager"]["extraArgs"])
    )


@pytest.mark.parametrize("version", ["v1beta2", "v1beta3", "v1beta4"])
def test_etcd_keeps_nothing_on_disk(version: str) -> None:
    local = patches(generated(), "ClusterConfiguration")[version]["etcd"]["local"]
    assert local["dataDir"] == "/tmp/etcd"
    assert "unsafe-no-fsync" in str(local["extraArgs"])


def test_elliptic_keys_in_the_words_of_each_version() -> None:
    found = patches(generated(), "ClusterConfiguration")
    assert found["v1beta2"]["featureGates"] == found["v1beta3"]["featureGates"] == {"PublicKeysECDSA": True}
    assert found["v1beta4"]["encryptionAlgorithm"] == "ECDSA-P256"
    assert "featureGates" not in found["v1beta4"]


def test_the_kubelet_is_not_restarted() -> None:
    found = patches(generated(), "InitConfiguration")
    assert found["v1beta2"]["nodeRegistration"]["kubeletExtraArgs"] == {"rotate-certificates": "false"}
    assert found["v1beta4"]["skipPhases"] == ["preflight", "kubelet-finalize"]


def test_a_cluster_without_kube_proxy_still_skips_it() -> None:
    found = patches(generated(config={"networking": {"kubeProxyMode": "none"}}), "InitConfiguration")
    assert found["v1beta3"]["skipPhases"] == ["preflight", "addon/kube-proxy", "kubelet-finalize"]


def test_pod_ranges_are_ours_only_on_old_kubernetes_and_one_ipv4_node() -> None:
    def allocates(config: dict[str, Any], version: str) -> bool:
        controllers = patches(config, "ClusterConfiguration")[version]["controllerManager"]
        return "allocate-node-cidrs" not in str(controllers)

    one, two = generated(), generated(config={"nodes": [{"role": "control-plane"}, {"role": "worker"}]})
    assert not allocates(one, "v1beta2")
    assert allocates(one, "v1beta3")
    assert allocates(one, "v1beta4")
    assert allocates(two, "v1beta2")
    assert pod_range(one) == "10.244.0.0/24"
    assert pod_range(two) == ""
    assert pod_range(generated(config={"networking": {"podSubnet": "10.9.0.0/20"}})) == "10.9.0.0/24"
    assert pod_range(generated(config={"networking": {"ipFamily": "dual"}})) == ""


def test_leaders_are_elected_only_among_several() -> None:
    several = generated(config={"nodes": [{"role": "control-plane"}] * 3})
    assert "leader-elect" in str(patches(generated(), "ClusterConfiguration"))
    assert "leader-elect" not in str(patches(several, "ClusterConfiguration"))


def test_ports_are_published_on_loopback_and_moved() -> None:
    (node,) = generated(offset=100, ports=[{"node": 30081, "host": 18091}])["nodes"]
    assert node["extraPortMappings"] == [{"listenAddress": "127.0.0.1", "containerPort": 30081, "hostPort": 18191}]


def test_the_users_own_ports_are_kept_beside_and_moved_too() -> None:
    theirs = {"nodes": [{"extraPortMappings": [{"containerPort": 80, "hostPort": 8080, "listenAddress": "0.0.0.0"}]}]}
    (node,) = generated(offset=1, ports=[{"node": 30081, "host": 18091}], config=theirs)["nodes"]
    assert [(one["listenAddress"], one["hostPort"]) for one in node["extraPortMappings"]] == [
        ("127.0.0.1", 18092),
        ("0.0.0.0", 8081),
    ]


def test_a_fixed_api_server_port_moves_as_well() -> None:
    assert generated(offset=5, config={"networking": {"apiServerPort": 6443}})["networking"]["apiServerPort"] == 6448


def test_the_users_patches_come_last_and_containerd_is_left_alone() -> None:
    config = generated(config={"kubeadmConfigPatches": ["kind: Mine"], "containerdConfigPatches": ["[a]"]})
    assert config["kubeadmConfigPatches"][-1] == "kind: Mine"
    assert len(config["kubeadmConfigPatches"]) == 8
    assert config["containerdConfigPatches"] == ["[a]"]


def test_a_worker_listed_first_does_not_get_the_ports() -> None:
    nodes = [{"role": "worker"}, {"role": "control-plane"}]
    config = generated(ports=[{"node": 30081, "host": 18091}], config={"nodes": nodes})
    assert ["extraPortMappings" in node for node in config["nodes"]] == [False, True]


def test_an_image_of_one_node_wins_over_the_general_one() -> None:
    nodes = [{"role": "control-plane"}, {"role": "worker", "image": "mine"}]
    config = generated(image="general", config={"nodes": nodes})
    assert [node["image"] for node in config["nodes"]] == ["general", "mine"]


def test_merging_is_deep_and_replaces_other_lists() -> None:
    assert merge({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}}) == {"a": {"b": 1, "c": [2]}}


def test_it_is_yaml() -> None:
    config = generated()
    assert yaml.safe_load(render(config)) == config
