"""Tests of cases found by attacks, on real runtimes: another user, a lost command, and an engine that is gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.support import ports
from tests.support.actor import OTHER_USER, Actor
from tests.support.box import ROOT, Said, eventually
from tests.support.engines import Engine
from tests.support.relay import Relay

pytestmark = pytest.mark.e2e

ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="two users are needed, and only root can be another one")

AS_OTHER = ("setpriv", f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder that every user may list."""
    made = Path(tempfile.mkdtemp(prefix="envkit-owner-", dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def owner(folder: Path) -> Iterator[Actor]:
    """Yield the owner of an environment with one process; the fixture takes it down at the end."""
    (port,) = ports.free()
    made = Actor(f"case-{uuid.uuid4().hex[:6]}", folder, "embedded", user=os.getuid()).write(port, "none")
    yield made
    said = made("down", "--force")
    assert said.code == 0, said


def web(owner: Actor) -> int:
    """Return the pid of the service."""
    (found,) = (it.pid for it in marked(owner.name) if os.getsid(it.pid) == it.pid)
    return found


def marked(name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ENVKIT_ENV") == name:
                found.append(process)
        except psutil.Error:
            continue
    return found


@contextmanager
def bystander(*before: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run an unrelated process in a separate session, and yield it."""
    environ = {"PATH": os.environ["PATH"], **variables}
    running = subprocess.Popen([*before, "sleep", "302"], env=environ, start_new_session=True)
    try:
        assert eventually(lambda: psutil.Process(running.pid).name() == "sleep")
        yield running
    finally:
        running.kill()
        running.wait()


@ROOT_ONLY
def test_the_bare_marker_on_another_users_process_makes_it_nobodys(owner: Actor) -> None:
    owner("up").ok()
    with bystander(*AS_OTHER, ENVKIT_ENV=owner.name) as stranger:
        said = owner("down")
        assert said.code == 2, said
        assert f"process {stranger.pid} (sleep) belongs to user {OTHER_USER}" in said.err, said
        assert "removing" in said.err, "the rest went"
        assert marked(owner.name) == [psutil.Process(stranger.pid)]
        owner("down", "--force").ok()
        assert stranger.wait(10) == -signal.SIGTERM, "root may, when it says so"


def test_the_bare_marker_and_another_state_directory_make_it_nobodys(owner: Actor) -> None:
    for more in ({}, {"ENVKIT_STATE_DIR": "/some/other"}):
        with bystander(ENVKIT_ENV=owner.name, **more) as stranger:
            said = owner("down")
            assert said.code == 2, said
            assert f"process {stranger.pid} (sleep)" in said.err and "state directory" in said.err, said
            assert stranger.poll() is None


@ROOT_ONLY
def test_root_takes_nothing_from_another_user(folder: Path) -> None:
    (port,) = ports.free()
    theirs = Actor(f"case-{uuid.uuid4().hex[:6]}", folder, "embedded", user=OTHER_USER).write(port, "none")
    root = theirs.other(user=0, state="roots", checkout="roots-too").write(port, "none")
    try:
        theirs("up").ok()
        before = web(theirs)
        for verb in ("up", "down", "restart web", "pause"):
            said = root(*verb.split())
            assert said.code == 2 and f"belongs to user {OTHER_USER}, and this is user 0" in said.err, said
        assert web(theirs) == before
    finally:
        said = theirs("down")
    assert said.code == 0 and marked(theirs.name) == [], said


@pytest.mark.parametrize("words", [("--name", ""), ("--name=",), ("-n", " "), ("--profile", ""), ("-f", "")])
def test_a_blank_name_ends_before_anything_is_touched(owner: Actor, words: tuple[str, ...]) -> None:
    said = owner("down", *words)
    assert said.code == 2, said


@ROOT_ONLY
@pytest.mark.parametrize("made", ["folder", "link"])
def test_a_folder_that_another_user_made_in_our_place_stays(owner: Actor, folder: Path, made: str) -> None:
    place = Path(f"/var/tmp/envkit-{owner.name}")
    target = folder / "target"
    target.mkdir()
    (target / "precious").write_text("x")
    make = ["mkdir", str(place)] if made == "folder" else ["ln", "-s", str(target), str(place)]
    subprocess.run([*AS_OTHER, *make], check=True)
    try:
        said = owner("up")
        assert said.code == 3 and str(place) in said.err and "somebody else" in said.err, said
        (owner.home / owner.name).mkdir(parents=True, exist_ok=True)
        said = owner("down")
        assert said.code == 2 and f"{place} is not a folder of this user's" in said.err, said
        assert place.lstat().st_uid == OTHER_USER
        assert (target / "precious").read_text() == "x"
        assert not (owner.home / owner.name).exists(), "the rest went"
    finally:
        place.unlink() if made == "link" else place.rmdir()


def processes_of_run(folder: Path) -> list[psutil.Process]:
    """Return all processes that a `run` of this state directory started, and the `run` itself."""
    found = []
    for process in psutil.process_iter():
        try:
            environ = process.environ()
            if environ.get("ENVKIT_STATE_DIR") == str(folder) and "ENVKIT_ENV" not in environ:
                found.append(process)
        except psutil.Error:
            continue
    return found


def words_of(process: psutil.Process) -> list[str]:
    """Return the command line of the process, or an empty list if it has ended meanwhile."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def runs(process: psutil.Process) -> bool:
    """Return whether the process has not ended.

    A zombie counts as ended: its parent may be another process that has not reaped it.
    """
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("verb", ["up", "down", "run -- true", "restart web", "pause"])
def test_a_command_whose_wrapper_and_watch_were_killed_is_ended_by_the_next_command(owner: Actor, verb: str) -> None:
    owner("up").ok()
    with owner.start("run", "--", "sh", "-c", "echo begun; exec setsid sleep 303") as wrapper:
        assert wrapper.stdout is not None and wrapper.stderr is not None
        assert eventually(lambda: any("303" in words_of(it) for it in processes_of_run(owner.home)), 30)
        began = processes_of_run(owner.home)
        (command,) = (it for it in began if "303" in words_of(it))
        both = [it for it in began if it.pid != command.pid and "envkit" in " ".join(words_of(it))]
        for act in (psutil.Process.suspend, psutil.Process.kill):  # neither process notices that the other one is gone
            for process in both:
                with suppress(psutil.NoSuchProcess):  # a short-lived program that one of them ran
                    act(process)
    assert runs(command)
    owner(*verb.split()).ok()
    assert not runs(command), "ended by the next command of that name"


@ROOT_ONLY
def test_a_shipped_profile_is_found_from_any_folder(folder: Path) -> None:
    """The test brings nothing up: the record and the caller alone decide the owner."""
    from envkit.base.owner import here
    from envkit.base.paths import Paths
    from envkit.inventory import state

    one, two = folder / "one", folder / "two"
    for path in (one, two):
        path.mkdir()
    paths = Paths(folder / "state", f"case-{uuid.uuid4().hex[:6]}")
    state.write(paths, state.Record(paths.name, "", lane="embedded", owner=here(paths.home, ""), variables={"A": "1"}))
    environ = {**os.environ, "ENVKIT_STATE_DIR": str(paths.home), "PYTHONPATH": str(ROOT)}
    for verb, code in (("env", 0), ("down", 0)):
        argv = [sys.executable, "-m", "envkit", verb, "--name", paths.name]
        done = subprocess.run(argv, cwd=two, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
    assert not paths.folder.exists()


@pytest.mark.docker
def test_down_names_the_engine_that_died_while_the_environment_came_up(folder: Path) -> None:
    """Between two steps of `up`, the socket stops answering, as the socket of a killed daemon does."""
    (port,) = ports.free()
    with closing(Engine("docker")) as engine:
        behind = Path(urlsplit(engine.url).path)
        relay = Relay(behind, folder / "engine.sock")
        variables = {"DOCKER_HOST": relay.url, "ENVKIT_ENGINE": "docker"}
        name = f"case-{uuid.uuid4().hex[:6]}"
        owner = Actor(name, folder, "containers", variables, os.getuid()).write(port, engine.python)
        never = folder / "checkout" / "envkit.yaml"
        never.write_text(never.read_text().replace("probe: {type: tcp}", "probe: {type: exec, command: ['false']}"))
        said: list[Said] = []
        coming = threading.Thread(target=lambda: said.append(owner("up")))
        try:
            coming.start()
            assert eventually(lambda: engine.rows(name), 50), "a container is there"
            relay.die()
            coming.join(60)
            assert said and said[0].code == 3, said
            gone = owner("down")
            assert gone.code == 3 and relay.url in gone.err, gone
            again = Relay(behind, relay.path)
            owner("down").ok()
            again.die()
            assert engine.rows(name) == [] and engine.networks_of(name) == []
        finally:
            relay.die()
            engine.sweep(name)
