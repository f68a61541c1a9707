"""Tests of engine discovery: which engine envkit finds, in which order, and its error if none answers."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import EngineError
from envkit.base.events import Event, Stream
from envkit.base.paths import Paths
from envkit.drivers.engine import podman_service, sdk
from envkit.drivers.engine.discovery import (
    ask,
    candidates,
    engine_of,
    find,
    find_all,
    holding,
    place,
    remedy,
    remembered,
)
from envkit.drivers.engine.podman_service import startable
from envkit.drivers.supply.binaries.models import Host
from tests.unit.sockets import DOCKER, PODMAN, answering, engine, serving, tcp

REAL = ("/var/run/docker.sock", "/run/podman/podman.sock")
"""Sockets that may exist on this machine; the tests must not depend on whether they answer."""


@pytest.fixture
def home() -> Iterator[Path]:
    """Return a folder with a short path, because a unix socket's path is limited to about a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="ek") as folder:
        yield Path(folder)


def environ(home: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "PATH": str(home / "bin"), **more}


def program(home: Path, name: str, script: str = "exit 1") -> Path:
    path = home / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def context(home: Path, name: str, host: str, *, current: bool = True) -> None:
    meta = home / ".docker/contexts/meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    (home / ".docker/config.json").write_text(json.dumps({"currentContext": name} if current else {}))


def ours(home: Path, **more: str) -> list[tuple[str, str]]:
    """Return the candidates without those that happen to exist on this machine."""
    found = [(it.url, it.source) for it in candidates(environ(home, **more))]
    return [pair for pair in found if pair[0] not in [f"unix://{path}" for path in REAL]]


# Candidates


def test_the_order_is_that_of_the_users_own_tools(home: Path) -> None:
    context(home, "work", "unix:///work.sock")
    for path in (
        "run/docker.sock",
        "run/podman/podman.sock",
        ".colima/default/docker.sock",
        ".orbstack/run/docker.sock",
    ):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).touch()

    found = ours(home, DOCKER_HOST="unix:///d.sock", CONTAINER_HOST="unix:///c.sock")

    assert found == [
        ("unix:///d.sock", "DOCKER_HOST"),
        ("unix:///c.sock", "CONTAINER_HOST"),
        ("unix:///work.sock", "docker context work"),
        (f"unix://{home}/run/docker.sock", "rootless Docker"),
        (f"unix://{home}/.orbstack/run/docker.sock", "OrbStack"),
        (f"unix://{home}/.colima/default/docker.sock", "Colima"),
        (f"unix://{home}/run/podman/podman.sock", "rootless Podman"),
    ]


def test_a_bare_machine_has_no_candidates(home: Path) -> None:
    assert ours(home) == []


def test_the_variable_chooses_another_context_and_is_explicit(home: Path) -> None:
    context(home, "work", "unix:///work.sock", current=False)
    (found,) = [it for it in candidates(environ(home, DOCKER_CONTEXT="work")) if "context" in it.source]

    assert (found.url, found.explicit) == ("unix:///work.sock", True)
    assert ours(home) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"currentContext": null}', '{"currentContext": "gone"}',
                                  '{"currentContext": "default"}'])  # fmt: skip
def test_a_configuration_of_docker_without_a_context_is_no_obstacle(home: Path, text: str) -> None:
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_text(text)

    assert ours(home) == []


# Identification of the engine


def test_engines_are_told_apart_by_what_they_answer() -> None:
    assert engine_of(DOCKER) == "docker"
    assert engine_of(PODMAN) == "podman"
    assert engine_of({"Version": "1", "Components": None}) == "docker"


def test_docker_host_may_be_podman(home: Path) -> None:
    with engine(home / "any.sock", PODMAN) as url:
        found = find("auto", environ(home, DOCKER_HOST=url))

    assert (found.engine, found.url, found.version, found.source) == ("podman", url, "4.9.4", "DOCKER_HOST")


def test_the_first_of_the_wanted_kind_is_taken(home: Path) -> None:
    with engine(home / "d.sock", DOCKER) as docker, engine(home / "p.sock", PODMAN) as podman:
        both = environ(home, DOCKER_HOST=docker, CONTAINER_HOST=podman)
        assert find("auto", both).url == docker
        assert find("docker", both).url == docker
        assert find("podman", both).url == podman


def test_a_dead_explicit_address_is_an_error_and_not_passed_over(home: Path) -> None:
    """A user who sets DOCKER_HOST names one engine; an environment on another engine would be a surprise."""
    with (
        engine(home / "run/docker.sock", DOCKER),
        pytest.raises(EngineError, match=r"DOCKER_HOST=unix:///gone\.sock") as caught,
    ):
        find("auto", environ(home, DOCKER_HOST="unix:///gone.sock"))

    assert "unset DOCKER_HOST" in caught.value.hint


def test_a_dead_context_that_was_not_asked_for_by_variable_is_passed_over(home: Path) -> None:
    context(home, "work", f"unix://{home}/gone.sock")
    with engine(home / "run/podman/podman.sock", PODMAN) as url:
        assert find("podman", environ(home)).url in (url, *(f"unix://{path}" for path in REAL))


@pytest.mark.parametrize(("body", "status"), [
    (b"{}", "404 Not Found"), (b"no json", "200 OK"), (b"[]", "200 OK"), (b'"ok"', "200 OK"), (b"", "200 OK"),
    (b'{"message": "page not found"}', "404 Not Found"),
])  # fmt: skip
def test_what_answers_but_is_no_engine_is_not_taken_for_one(home: Path, body: bytes, status: str) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(home / "x.sock"))
    with serving(listener, answering(body, status)), pytest.raises(ValueError):
        ask(f"unix://{home}/x.sock")


def test_what_speaks_no_http_is_not_taken_for_an_engine(home: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(home / "x.sock"))
    with serving(listener, lambda plug: plug.sendall(b"SSH-2.0-x\r\n")), pytest.raises((ValueError, OSError)):
        ask(f"unix://{home}/x.sock")


def test_an_engine_over_tcp_is_asked_through_the_sdk(home: Path) -> None:
    body = json.dumps({**DOCKER, "ApiVersion": "1.43", "MinAPIVersion": "1.12"}).encode()
    with tcp(answering(body)) as port:
        found = find("auto", environ(home, DOCKER_HOST=f"tcp://127.0.0.1:{port}"))

    assert (found.engine, found.local) == ("docker", False)


# No engine


def test_when_none_answers_every_address_and_its_answer_is_told(home: Path) -> None:
    given = {"CONTAINER_HOST": f"unix://{home}/gone.sock"}
    with engine(home / "d.sock", DOCKER) as docker, pytest.raises(EngineError) as caught:
        find("neither", environ(home, DOCKER_HOST=docker, **given))

    assert caught.value.message.startswith("no neither engine answers; envkit tried:")
    assert f"{docker} (DOCKER_HOST): is docker" in caught.value.message
    assert f"{home}/gone.sock (CONTAINER_HOST): [Errno 2]" in caught.value.message


@pytest.mark.parametrize(
    ("engine_name", "programs", "expected"),
    [
        ("auto", ["dockerd", "podman"], "systemctl start docker"),
        ("docker", ["dockerd"], "systemctl start docker"),
        ("auto", ["podman"], "systemctl --user start podman.socket"),
        ("podman", ["dockerd", "podman"], "systemctl --user start podman.socket"),
        ("docker", ["podman"], "install Docker"),
        ("auto", [], "install Docker"),
    ],
)
def test_the_remedy_fits_what_is_installed(home: Path, engine_name: str, programs: list[str], expected: str) -> None:
    for name in programs:
        program(home, name)

    assert expected in remedy(engine_name, environ(home))


# All engines


def test_every_engine_is_found_once_under_whichever_address(home: Path) -> None:
    with engine(home / "run/docker.sock", DOCKER) as url:
        (home / "link.sock").symlink_to(home / "run/docker.sock")
        linked = f"unix://{home}/link.sock"
        found, silent = find_all("auto", environ(home, DOCKER_HOST=linked, CONTAINER_HOST=f"unix://{home}/gone.sock"))

    mine = [it.url for it in found if it.url not in [f"unix://{path}" for path in REAL]]
    assert mine == [linked]
    assert place(linked) == place(url)
    assert list(silent) == [f"unix://{home}/gone.sock"]


def test_find_all_keeps_to_the_wanted_kind(home: Path) -> None:
    with engine(home / "d.sock", DOCKER) as docker, engine(home / "p.sock", PODMAN) as podman:
        found, _ = find_all("podman", environ(home, DOCKER_HOST=docker, CONTAINER_HOST=podman))

    assert {it.engine for it in found} == {"podman"}
    assert podman in {it.url for it in found}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Podman is in a virtual machine and is asked it all")
def test_a_podman_of_this_host_is_not_asked_what_takes_it_half_a_second(home: Path) -> None:
    has: dict[str, list[Any]] = {}
    with engine(home / "p.sock", PODMAN, has) as url:
        found = find("podman", environ(home, DOCKER_HOST=url))

    assert (found.engine, found.version, found.arch) == ("podman", PODMAN["Version"], Host.this().arch)
    assert has["asked"] == ["/_ping"]


@pytest.mark.parametrize(
    ("least", "spoken"), [("1.44", "1.44"), ("1.24", sdk.API_VERSION), ("", sdk.API_VERSION), ("x", sdk.API_VERSION)]
)
def test_an_engine_that_refuses_old_clients_is_spoken_to_as_it_wants(home: Path, least: str, spoken: str) -> None:
    """Docker 29 rejects old clients: `client version 1.40 is too old. Minimum supported API version is 1.44`."""
    with engine(home / "d.sock", {**DOCKER, "MinAPIVersion": least}) as url:
        found = find("docker", environ(home, DOCKER_HOST=url))
        assert remembered("docker", url).oldest_api == found.oldest_api

        assert sdk.connect(found).api_version == spoken
        assert sdk.connect(found, 5, "1.48").api_version == "1.48"


def test_an_engine_that_holds_something_is_found_by_a_quick_look(home: Path) -> None:
    asked = "/containers/json?all=true&filters=%7B%22label%22%3A%20%5B%22a%3Db%22%5D%7D"
    with (
        engine(home / "d.sock", DOCKER, {asked: [{"Id": "1"}]}) as docker,
        engine(home / "p.sock", PODMAN) as podman,
    ):
        found = holding("a=b", environ(home, DOCKER_HOST=docker, CONTAINER_HOST=podman))
        none = holding("a=c", environ(home, DOCKER_HOST=docker, DOCKER_CONTEXT="gone"))

    assert [it.url for it in found] == [docker]
    assert none == []


def test_a_podman_machine_is_asked_for_its_socket(home: Path) -> None:
    with engine(home / "m.sock", PODMAN) as url:
        answer = json.dumps([{"Name": "dev", "ConnectionInfo": {"PodmanSocket": {"Path": f"{home}/m.sock"}}}])
        program(home, "podman", f"[ \"$1 $2\" = 'machine inspect' ] && echo '{answer}'")
        found, _ = find_all("podman", environ(home))

    assert (url, "podman machine dev") in {(it.url, it.source) for it in found}


# Podman's service, started for one command

EXPLICIT = [{"DOCKER_HOST": "unix:///x.sock"}, {"CONTAINER_HOST": "unix:///x.sock"}]


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="elsewhere Podman's command line is a client of a VM")
def test_podman_is_startable_where_it_is_wanted_and_installed(home: Path) -> None:
    assert startable("auto", environ(home)) is None
    path = str(program(home, "podman"))

    assert startable("auto", environ(home)) == path
    assert startable("podman", environ(home)) == path
    assert startable("docker", environ(home)) is None
    assert [startable("auto", environ(home, **given)) for given in EXPLICIT] == [None, None]
    assert [startable("podman", environ(home, **given)) for given in EXPLICIT] == [path, path]


SERVER = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1].removeprefix("unix://"))
listener.listen()
body = open(sys.argv[2], "rb").read()
while True:
    plug, _ = listener.accept()
    plug.recv(65536)
    plug.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n" % len(body) + body)
    plug.close()
"""


def test_podmans_service_is_served_for_the_run_and_ended_after_it(home: Path) -> None:
    (home / "server.py").write_text(SERVER)
    (home / "version").write_text(json.dumps(PODMAN))
    podman = str(program(home, "podman", f'exec {sys.executable} {home}/server.py "$4" {home}/version'))
    socket_path, events = home / "state/podman.sock", list[Event]()

    with podman_service._service(podman, socket_path, Stream([events.append]), EngineError("")) as url:
        assert engine_of(ask(url)) == "podman"
        assert stat.S_IMODE((home / "state").stat().st_mode) == 0o700

    assert not socket_path.exists()
    with pytest.raises(OSError):
        ask(url)
    assert "serving it at" in events[0].message


def test_a_podman_that_cannot_serve_is_told_with_its_words(home: Path) -> None:
    podman = program(home, "podman", "echo 'no subuid ranges' >&2; exit 125")

    with (
        pytest.raises(EngineError, match="ended with 125") as caught,
        podman_service._service(str(podman), home / "p.sock", Stream(), EngineError("", hint="do this")),
    ):
        pytest.fail("nothing to serve")

    assert "no subuid ranges" in caught.value.detail
    assert caught.value.hint == "do this"


def test_an_engine_that_answers_is_used_and_none_started(home: Path) -> None:
    with (
        engine(home / "d.sock", DOCKER) as url,
        podman_service.engine("auto", environ(home, DOCKER_HOST=url), Paths(home, "t"), Stream()) as found,
    ):
        assert found.url == url
