"""Tests of `env`, which renews tokens in time; of kept logs after a failure; and of `down` without an engine."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from envkit.base import labels
from envkit.base.errors import EnvironmentFailed, NotUp
from envkit.base.owner import Claim, claim
from envkit.base.paths import Paths
from envkit.cli.context import run_down
from envkit.cli.flags import Flags
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes.engine_site import EngineSite
from envkit.drivers.runtimes.host_site import HostSite
from envkit.inventory import state
from envkit.operations import env, remove
from envkit.watch import command_processes
from tests.unit.sockets import answering, serving, tcp


def token(ends_in: float) -> str:
    """Return a JWT with only the fields that envkit reads here."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + ends_in}).encode()).rstrip(b"=").decode()
    return f"e30.{claims}.signature"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "state", "t")


def remember(paths: Paths, **fields: object) -> None:
    state.write(paths, state.Record("t", "/here", **fields))


# env


def test_without_a_record_nothing_is_up(paths: Paths) -> None:
    with pytest.raises(NotUp, match="environment t is not up") as caught:
        env.read(paths, "./dev up -n t")

    assert caught.value.hint == "bring it up with `./dev up -n t`"


def test_with_ports_that_answer_the_record_is_given(paths: Paths) -> None:
    with tcp(lambda _plug: None) as port:
        remember(paths, variables={"A": "1"}, ports={"a.main": port})

        assert env.read(paths, "up").variables == {"A": "1"}


def test_every_port_that_does_not_answer_is_named(paths: Paths) -> None:
    with tcp(lambda _plug: None) as port:
        remember(paths, ports={"good.main": port, "bad.main": 1, "worse.main": 2})

        with pytest.raises(NotUp, match=r"any more: bad\.main \(port 1\), worse\.main \(port 2\)") as caught:
            env.read(paths, "up")

    assert "good" not in caught.value.message


RENEWAL = state.Renewal("reader", "default", "reader", 3600, (), "READER_TOKEN")


@pytest.mark.parametrize("left", [3500, 1000])
def test_a_token_with_time_left_is_kept(paths: Paths, left: float) -> None:
    paths.make()
    paths.tokens.mkdir()
    (paths.tokens / "reader").write_text(token(left))
    remember(paths, variables={"READER_TOKEN": "as written"}, tokens=(RENEWAL,))

    assert env.read(paths, "up").variables == {"READER_TOKEN": "as written"}


@pytest.mark.parametrize(
    "held",
    [token(800), token(-5), "no.token", "nothing", "a.!!!!.c", ""],
    ids=["near", "over", "two parts", "one part", "not base64", "empty"],
)
def test_a_token_near_its_end_is_renewed_and_remembered(
    paths: Paths, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from envkit.drivers.clusters import identities

    paths.make()
    paths.tokens.mkdir()
    (paths.tokens / "reader").write_text(held)
    asked: list[str] = []

    def renew(_paths: Paths, renewal: state.Renewal, _before: Any) -> str:
        asked.append(renewal.identity)
        return "fresh"

    monkeypatch.setattr(identities, "renew", renew)
    remember(paths, variables={"READER_TOKEN": held, "A": "1"}, tokens=(RENEWAL,))

    assert env.read(paths, "up").variables == {"READER_TOKEN": "fresh", "A": "1"}
    record = state.read(paths)
    assert record is not None
    assert record.variables["READER_TOKEN"] == "fresh"
    assert asked == ["reader"]


# down


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield variables that hide all engines.

    envkit still checks the default sockets of this machine, but no environment there is named `t-...`.
    """
    yield {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": str(tmp_path)}


NAME = f"t-{os.getpid()}"


def test_down_twice_without_anything_is_fine(tmp_path: Path, nowhere: dict[str, str]) -> None:
    paths = Paths(tmp_path / "state", NAME)

    assert remove.down(NAME, paths, "neither", nowhere, lambda _said: None, claim(tmp_path / "state", "/")) == []
    assert remove.down(NAME, paths, "neither", nowhere, lambda _said: None, claim(tmp_path / "state", "/")) == []


def test_down_names_the_engine_that_it_could_not_ask_and_keeps_the_record(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    paths = Paths(tmp_path / "state", NAME)
    state.write(paths, state.Record(NAME, "/", engine="docker", engine_url=f"unix://{tmp_path}/gone.sock"))

    with pytest.raises(EnvironmentFailed, match=rf"docker at unix://{tmp_path}/gone\.sock") as caught:
        remove.down(NAME, paths, "neither", nowhere, lambda _said: None, claim(tmp_path / "state", "/"))

    assert "run `down` again" in caught.value.hint
    assert state.read(paths) is not None


@pytest.mark.parametrize(("lane", "brought_up"), [(None, "embedded"), ("embedded", "")])
def test_no_engine_is_started_for_what_ran_as_processes_but_those_that_run_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lane: str | None, brought_up: str
) -> None:
    """Podman has only its command; Docker's socket records each request."""
    podman, questions = tmp_path / "bin" / "podman", list[str]()
    podman.parent.mkdir()
    podman.write_text(f"#!/bin/sh\necho $* >>{tmp_path}/podman.said\nexit 1\n")
    podman.chmod(0o755)
    (tmp_path / "envkit.yaml").write_text(f"name: {NAME}\n")
    monkeypatch.chdir(tmp_path)
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": str(podman.parent)}
    environ["ENVKIT_STATE_DIR"] = str(tmp_path / "state")
    if brought_up:
        state.write(Paths(tmp_path / "state", NAME), state.Record(NAME, str(tmp_path), lane=brought_up))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "docker.sock"))
    environ["DOCKER_HOST"] = f"unix://{tmp_path}/docker.sock"
    with serving(listener, answering(b"[]", seen=questions)), suppress(EnvironmentFailed):
        run_down(Flags(file="envkit.yaml", lane=lane, environ=environ))

    said = tmp_path / "podman.said"
    assert questions
    assert "system service" not in (said.read_text() if said.exists() else "")


def test_an_engine_is_known_by_every_address_of_its_socket(tmp_path: Path) -> None:
    (tmp_path / "real.sock").touch()
    (tmp_path / "link.sock").symlink_to(tmp_path / "real.sock")
    paths = Paths(tmp_path, "t")

    def seen(url: str, *engines: Endpoint) -> bool:
        return any(EngineSite(engine).is_at(url, paths.home) for engine in engines)

    docker = Endpoint("docker", f"unix://{tmp_path}/real.sock", "1", "x")
    podman = Endpoint("podman", "unix:///run/podman/podman.sock", "1", "x")
    assert seen(f"unix://{tmp_path}/link.sock", docker)
    assert not seen(f"unix://{tmp_path}/other.sock", docker, podman)
    assert seen(f"unix://{tmp_path}/podman.sock", docker, podman), "the service that envkit starts for a run"
    assert not seen(f"unix://{tmp_path}/podman.sock", docker)
    assert not seen("tcp://far:2376", docker)


CLAIM = claim(Path("/some/state"), "/some/checkout")


def marked_as(marker: str, asks: Claim = CLAIM) -> dict[str, str]:
    return {**os.environ, **labels.marks_of(marker, asks.owner)}


def sleeper(marker: str, script: str = "import time; time.sleep(300)", **more: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script], env=marked_as(marker), **more)


def test_processes_that_carry_the_marker_are_ended_and_no_others() -> None:
    name = f"{NAME}-marked"
    ours, other = sleeper(name), sleeper(name)
    neighbour, longer = sleeper(f"{name}2"), sleeper(name[:-1])
    try:
        ended, _ = remove.end_processes(name, CLAIM)

        assert sorted(ended) == sorted([f"process {ours.pid}", f"process {other.pid}"])
        assert ours.wait(5) is not None
        assert other.wait(5) is not None
        assert neighbour.poll() is None
        assert longer.poll() is None
        assert remove.end_processes(name, CLAIM) == ([], [])
    finally:
        for process in (ours, other, neighbour, longer):
            process.kill()
            process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere engines are in a virtual machine")
def test_what_an_engine_keeps_for_all_containers_is_nobodys_though_it_inherited_the_marker() -> None:
    """Podman's name server is a child of the first `podman run`, which kind may have started."""
    name = f"{NAME}-inherited"
    marked = {**marked_as(name), "ENVKIT_RUN": f"/{name}"}
    argv, sleep = ["aardvark-dns", "300"], shutil.which("sleep")
    names = subprocess.Popen(argv, executable=sleep, env=marked, start_new_session=True)
    try:
        assert remove.end_processes(name, CLAIM) == ([], [])
        assert command_processes.end_processes(Path(f"/{name}"), 0.0) == []
        assert [trace for trace in HostSite().traces([]) if trace.environment == name] == []
        assert names.poll() is None
    finally:
        names.kill()
        names.wait()


def test_a_process_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remove, "KILL_SECONDS", 0.3)
    name = f"{NAME}-stubborn"
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(300)"
    stubborn = sleeper(name, script, stdout=subprocess.PIPE)
    assert stubborn.stdout is not None
    stubborn.stdout.readline()

    remove.end_processes(name, CLAIM)

    stubborn.stdout.close()
    stubborn.wait(5)
    assert not psutil.pid_exists(stubborn.pid)


def test_the_caller_and_its_parents_are_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    """In `envkit run -- envkit down`, the inner `envkit down` itself has the environment's marker."""
    script = (
        "import os; from pathlib import Path; from envkit.base.owner import claim; "
        "from envkit.operations.remove import end_processes; "
        "print(end_processes(os.environ['ENVKIT_ENV'], claim(Path('/some/state'), '/some/checkout'))); print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", script], env=marked_as(f"{NAME}-self"), capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "([], [])\nalive\n")
