"""Tests of the errors that envkit derives from kind's output.

The outputs were recorded from kind 0.27 on Docker 20.10 and Podman 4.3.
"""

from __future__ import annotations

import pytest

from envkit.base.errors import ClusterError, PortTaken, ToolMissing
from envkit.drivers.clusters.kind_errors import at_its_kubeconfig, explain, too_old, useful_lines, version_of

NO_IMAGE = """Creating cluster "e" ...
 ✗ Ensuring node image (docker.io/kindest/node:v1.99.0) 🖼
ERROR: failed to create cluster: failed to pull image "docker.io/kindest/node:v1.99.0": command "docker pull \
docker.io/kindest/node:v1.99.0" failed with error: exit status 1

Command Output: Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: lookup \
registry-1.docker.io: no such host
"""
RUN = (
    'ERROR: failed to create cluster: command "docker run --name e-control-plane --publish=127.0.0.1:23456:30081/TCP '
    '--publish=127.0.0.1:45571:6443/TCP kindest/node:v1.36.0" failed with error: exit status 125\n\nCommand Output: '
)
PORT_DOCKER = (
    RUN + "docker: Error response from daemon: driver failed programming external connectivity on endpoint "
    "e-control-plane: Error starting userland proxy: listen tcp4 127.0.0.1:23456: bind: address already in use\n"
)
PORT_DOCKER_28 = (
    RUN + "docker: Error response from daemon: Bind for 127.0.0.1:23456 failed: port is already allocated\n"
)
PORT_PODMAN = (
    RUN + "failed to connect to syslog: Initialization\n"
    "Error: cannot listen on the TCP port: listen tcp4 127.0.0.1:23456: bind: address already in use\n"
)
BAD_CONFIG = """ERROR: failed to create cluster: unable to decode config: yaml: unmarshal errors:
  line 3: field nodez not found in type v1alpha4.Cluster
"""
EXISTS = 'ERROR: failed to create cluster: node(s) already exist for a cluster with the name "envkit-e"\n'
NO_CLI = """using docker due to KIND_EXPERIMENTAL_PROVIDER
ERROR: failed to create cluster: failed to get docker info: command "docker info --format '{{json .}}'" failed with \
error: exec: "docker": executable file not found in $PATH

Command Output:
"""
NO_DAEMON = """ERROR: failed to create cluster: failed to list nodes: command "docker ps -a" failed with error:
 exit status 1

Command Output: Cannot connect to the Docker daemon at unix:///nonexistent.sock. Is the docker daemon running?
"""
NO_BOOT = (
    " ✗ Preparing nodes 📦\nERROR: failed to create cluster: could not find a log line that matches "
    '"Reached target .*Multi-User System.*|detected cgroup v1"\n'
)
INOTIFY_NODE = "Failed to create control group inotify object: Too many open files\nFailed to allocate manager object\n"
OLD_SPEC = """ERROR: failed to create cluster: failed to init node with kubeadm: command "docker exec --privileged \
e-control-plane kubeadm init" failed with error: exit status 1
Command Output: I1120 09:16:08.895287     169 initconfiguration.go:201] loading configuration
your configuration file uses an old API spec: "kubeadm.k8s.io/v1beta3" (kind: "ClusterConfiguration")
"""
TIMEOUT = """ERROR: failed to create cluster: failed to init node with kubeadm: command "..." failed:
 exit status 1
Command Output: [kubelet-check] Initial timeout of 40s passed.
I1120 09:16:13.178693     169 round_trippers.go:445] GET https://e-control-plane:6443/healthz?timeout=10s
	timed out waiting for the condition
"""


@pytest.mark.parametrize(
    ("output", "node_log", "kind", "says"),
    [
        (NO_IMAGE, "", ClusterError, "the node image cannot be had: docker.io/kindest/node:v1.99.0"),
        (PORT_DOCKER, "", PortTaken, "taken: 23456"),
        (PORT_DOCKER_28, "", PortTaken, "taken: 23456"),
        (PORT_PODMAN, "", PortTaken, "taken: 23456"),
        (BAD_CONFIG, "", ClusterError, "does not accept the configuration"),
        (EXISTS, "", ClusterError, "not envkit's"),
        (NO_CLI, "", ToolMissing, "command line"),
        (NO_DAEMON, "", ClusterError, "cannot reach the engine"),
        (NO_BOOT, "systemd[1]: something else", ClusterError, "the node did not boot"),
        (NO_BOOT, INOTIFY_NODE, ClusterError, "inotify"),
        (OLD_SPEC, "", ClusterError, "does not support this Kubernetes version"),
        (TIMEOUT, "", ClusterError, "the control plane did not start"),
    ],
)
def test_the_real_cause_is_named_with_a_next_step(output: str, node_log: str, kind: type[Exception], says: str) -> None:
    error = explain(output, node_log)
    assert type(error) is kind
    assert says in error.message
    assert error.hint
    assert error.detail


def test_the_image_that_was_asked_for_is_named_when_the_output_names_none() -> None:
    assert "mine:1" in explain("ERROR: no such image", image="mine:1").message


def test_the_last_step_is_told_from_all_others() -> None:
    assert at_its_kubeconfig(
        "ERROR: failed to create cluster: could not locate any control plane nodes for cluster named 'a'"
    )
    assert not at_its_kubeconfig(TIMEOUT)


def test_what_is_not_known_is_quoted() -> None:
    error = explain("ERROR: failed to create cluster: the moon is in the wrong phase\n")
    assert "failed to create cluster: the moon is in the wrong phase" in error.message


def test_details_leave_out_what_tells_nothing() -> None:
    assert "round_trippers" not in useful_lines(TIMEOUT)
    assert "timed out waiting" in useful_lines(TIMEOUT)


def test_a_node_that_did_not_boot_shows_its_own_log() -> None:
    assert "Too many open files" in explain(NO_BOOT, INOTIFY_NODE).detail


@pytest.mark.parametrize(
    ("output", "version"),
    [("kind v0.27.0 go1.24.4 linux/amd64", (0, 27)), ("0.32.0-alpha", (0, 32)), ("nonsense", None)],
)
def test_versions(output: str, version: tuple[int, int] | None) -> None:
    assert version_of(output) == version


def test_an_old_kind_is_told_what_it_should_be() -> None:
    assert "0.19 is too old: 0.20" in too_old((0, 19)).message
