"""Tests of whether this process runs in a container of the engine: envkit says so only if it is certain."""

from __future__ import annotations

from pathlib import Path

import pytest

from envkit.base.errors import EngineError
from envkit.drivers.engine import reach
from envkit.drivers.engine.endpoint import Endpoint

ID = "02589f4e1077f12a41203cb2fd1f93fe6674622755d839c446f1c0ad825d5fd5"
REST = "rw,relatime - ext4 /dev/vda rw"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"96 78 254:0 /var/lib/docker/containers/{ID}/hostname /etc/hostname {REST}", ID),
        (f"96 78 254:0 /docker/containers/{ID}/resolv.conf /etc/resolv.conf {REST}", ID),
        (f"91 83 0:5 /run/containers/storage/overlay-containers/{ID}/userdata/hostname /etc/hostname {REST}", ID),
        (f"91 83 0:5 /containers/overlay-containers/{ID}/userdata/hosts /etc/hosts {REST}", ID),
        # a host that runs containers
        (f"96 78 254:0 / /var/lib/docker/containers/{ID}/mounts/shm {REST}", ""),
        (f"96 78 0:5 /overlay-containers/{ID}/userdata/shm /var/lib/containers/storage/x/userdata/shm {REST}", ""),
        # a pod of Kubernetes, WSL 2, a plain host
        (f"96 78 254:0 /var/lib/kubelet/pods/7d1f/etc-hosts /etc/hosts {REST}", ""),
        (f"96 78 0:40 / /mnt/wsl/docker-desktop/shared-sockets {REST}", ""),
        (f"96 78 254:0 /etc/resolv.conf /etc/resolv.conf {REST}", ""),
    ],
)
def test_a_container_knows_its_id(line: str, found: str, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"20 1 254:0 / / {REST}\n{line}\n")
    assert reach.own_container(mounts) == found


def test_where_nothing_can_be_read_nothing_is_said(tmp_path: Path) -> None:
    assert reach.own_container(tmp_path / "none") == ""


def endpoint(url: str) -> Endpoint:
    return Endpoint("docker", url, "27", "DOCKER_HOST")


@pytest.mark.parametrize(
    "url",
    [
        "tcp://127.0.0.1:2375", "tcp://localhost:2376", "tcp://[::1]:2375", "npipe:////./pipe/docker_engine",
        "tcp://no-such-name.invalid:2375", "unix:///var/run/docker.sock",
    ],
)  # fmt: skip
def test_addresses_of_this_machine_are_in_reach(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reach, "MOUNTS", tmp_path / "none")
    reach.check(endpoint(url))


@pytest.mark.parametrize(
    "url", ["tcp://192.0.2.7:2375", "tcp://[2001:db8::7]:2376", "ssh://me@192.0.2.7", "ssh://an-alias.invalid"]
)
def test_an_engine_elsewhere_is_not(url: str) -> None:
    with pytest.raises(EngineError, match="cannot be reached from here") as told:
        reach.check(endpoint(url))
    assert "--lane embedded" in told.value.hint


def test_an_engine_that_knows_no_such_container_is_this_machines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reach, "own_container", lambda: ID)
    reach.check(endpoint(f"unix://{tmp_path}/no.sock"))
