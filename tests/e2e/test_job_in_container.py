"""Tests of jobs in containers: beside a Docker service, and with the host's socket.

envkit starts nothing that the job could not reach.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import DOCKER
from tests.support import ports
from tests.support.box import ROOT, Box, Small, eventually
from tests.support.engines import Engine, answers

pytestmark = pytest.mark.e2e

RELAY = """
import os, socket, threading
def pump(one, other):
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)
server = socket.create_server(("", 2375))
while True:
    client, _ = server.accept()
    engine = socket.socket(socket.AF_UNIX); engine.connect("/engine.sock")
    for pair in ((client, engine), (engine, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""
"""A proxy like `docker:dind`: it offers an engine at a TCP address of another container."""


@contextmanager
def started(engine: Engine, argv: list[str], binds: list[str], environ: dict[str, str], **host: str) -> Iterator[str]:
    """Start a job's container with the engine's socket, and yield its id."""
    binds = [*binds, f"{urlsplit(engine.url).path}:/engine.sock"]
    made = engine.api.create_container(
        engine.python, argv, environment=environ, working_dir="/",
        host_config=engine.api.create_host_config(binds=binds, **host),
    )  # fmt: skip
    try:
        engine.api.start(made["Id"])
        yield str(made["Id"])
    finally:
        engine.api.remove_container(made["Id"], force=True, v=True)


def inside(box: Box, script: str, **host: str) -> tuple[int, str]:
    """Run a script as a job in a container and return its exit code and output.

    The container has this checkout, the configuration and the host's engine.
    """
    packages = sysconfig.get_paths()["purelib"]
    binds = [f"{path}:{path}:ro" for path in (ROOT, packages, box.folder)]
    environ = {
        "PYTHONPATH": f"{packages}:{ROOT}", "DOCKER_HOST": "unix:///engine.sock", "ENVKIT_OVERLAY": box.engine.overlay,
        "ENVKIT_NAME": box.name, "ENVKIT_FILE": str(box.folder / "envkit.yaml"), "ENVKIT_STATE_DIR": "/state",
        "ENVKIT_CACHE_DIR": "/cache",
    }  # fmt: skip
    with started(box.engine, ["sh", "-c", script.replace("envkit", "python3 -m envkit")], binds, environ, **host) as it:
        code = box.engine.api.wait(it, timeout=120)["StatusCode"]
        return int(code), box.engine.api.logs(it).decode()


@pytest.fixture
def box(small: Small) -> Box:
    """Return an environment with one service that runs in either lane."""
    (port,) = ports.free()
    return small(
        f"""
        cluster: none
        services:
          web:
            image: docker.io/library/python:3.12-slim
            command: [python3, -m, http.server, "80"]
            process: {{command: [python3, -m, http.server, "--bind", 127.0.0.1, "${{self.ports.http}}"]}}
            ports: {{http: "{port}:80"}}
            probe: {{type: http}}
            exports: {{WEB_URL: "http://${{self.address}}"}}
        """,
        ports=(port,),
    )


@pytest.fixture
def same_python(engine: Engine) -> None:
    """Skip the test if the container's Python cannot use this Python's packages."""
    with started(engine, ["python3", "-V"], [], {}) as it:
        engine.api.wait(it, timeout=60)
        said = engine.api.logs(it).decode()
    if f"Python {sys.version_info[0]}.{sys.version_info[1]}." not in said:
        pytest.skip(f"the image has {said.strip()}, and these tests run on another")


def test_a_job_with_the_hosts_socket_is_told_what_to_do(box: Box, same_python: None) -> None:
    code, said = inside(box, "envkit up")
    assert code == 3, said
    assert "not on this one" in said and "next: --lane embedded" in said and "--network host" in said, said
    assert box.left() == [], "nothing was begun"


@pytest.mark.parametrize("engine", DOCKER, indirect=True)
def test_what_it_is_told_works(box: Box, same_python: None) -> None:
    code, said = inside(box, "envkit up && envkit down", network_mode="host")
    assert code == 0 and "is up (containers on " in said, said
    code, said = inside(box, "envkit up --lane embedded && envkit down")
    assert code == 0 and "is up (embedded" in said, said
    assert box.left() == []


@pytest.mark.parametrize("engine", DOCKER, indirect=True)
def test_a_job_beside_a_docker_service_is_told_what_to_do(box: Box) -> None:
    with started(box.engine, ["python3", "-c", RELAY], [], {}) as relay:
        address = box.engine.api.inspect_container(relay)["NetworkSettings"]["IPAddress"]
        there = {"DOCKER_HOST": f"tcp://{address}:2375"}
        assert eventually(lambda: answers(there["DOCKER_HOST"]), 20)
        said = box("up", **there)
        assert said.code == 3 and "cannot be reached from here" in said.err, said
        assert "next: --lane embedded" in said.err, said
        lines = box("doctor", "--lane", "containers", **there)
        assert lines.code == 3 and "reach" in lines.out, lines
    assert box.left() == []
