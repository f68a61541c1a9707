"""Tests of `doctor` on this machine, with the engines that it has."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil
import pytest

from envkit.doctor import engines
from envkit.doctor.host import Host
from envkit.drivers.engine.discovery import ask, engine_of
from tests.support.box import Box
from tests.support.engines import Engine

pytestmark = pytest.mark.e2e


def test_an_engine_that_answers_is_found_and_its_lanes_can_be_used(engine: Engine, tmp_path: Path) -> None:
    box = Box(engine, "e2e-doctor", tmp_path)
    said = box("doctor", "--lane", "mixed", "--json", DOCKER_HOST="", CONTAINER_HOST="").ok().json
    found = {row["name"]: row for row in said["findings"]}
    assert found["engine"]["state"] == "ok" and engine.name in found["engine"]["seen"]
    assert found[engine.name]["state"] == "ok"
    assert said["lanes"]["mixed"] == {"usable": True, "lacking": []}
    assert found["memory"]["seen"].endswith("GiB available")
    assert not [row for row in said["findings"] if "could not be checked" in row["seen"]]
    box.untouched()


@pytest.mark.docker
def test_an_address_that_nobody_answers_at_is_named_with_its_remedy(tmp_path: Path) -> None:
    box = Box(Engine("docker"), "e2e-doctor", tmp_path)
    box.engine.close()
    said = box("doctor", "--lane", "containers", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert said.code == 3
    assert "unix:///nowhere/docker.sock does not answer" in said.out and "-> unset DOCKER_HOST" in said.out
    assert "lane containers cannot be used: DOCKER_HOST" in said.out


@pytest.mark.podman
def test_podmans_service_is_started_where_no_systemd_does_it(tmp_path: Path) -> None:
    """`doctor` starts the service of the user's own Podman at the usual path in the runtime directory.

    The service keeps running.
    """
    (tmp_path / "bin").mkdir()
    podman = shutil.which("podman")
    assert podman
    (tmp_path / "bin/podman").symlink_to(podman)
    environ = {"HOME": os.environ["HOME"], "PATH": str(tmp_path / "bin"), "XDG_RUNTIME_DIR": str(tmp_path)}
    stale = tmp_path / "podman/podman.sock"
    stale.parent.mkdir()
    stale.touch()
    try:
        said = engines.serve(Host(environ, tmp_path, tmp_path, uid=1))
        assert said.endswith(f"system service --time=0 unix://{stale}")
        assert engine_of(ask(f"unix://{stale}")) == "podman"
    finally:
        for process in psutil.process_iter():
            try:
                if f"unix://{stale}" in process.cmdline():
                    process.kill()
                    process.wait(5)
            except psutil.Error:
                continue
