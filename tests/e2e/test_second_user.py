"""Tests of a second local user and of a compromised service: their access to an environment of processes.

The second user is uid 65534. If the tests do not run as root, they check the modes and owners of files instead.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from envkit.drivers import accounts
from tests.e2e.embedded_box import EmbeddedBox, box
from tests.support import ports
from tests.support.box import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.embedded]

ROOT = os.getuid() == 0
OTHER = 65534

REACHED = """
while IFS= read -r path; do
    [ -d "$path" ] && ls "$path" >/dev/null 2>&1 && echo "lists $path"
    [ -d "$path" ] && (: >"$path/.intruder") 2>/dev/null && echo "makes files in $path"
    [ -f "$path" ] && cat "$path" >/dev/null 2>&1 && echo "reads $path"
    [ -f "$path" ] && (: >>"$path") 2>/dev/null && echo "writes $path"
done
"""
"""A shell script that prints what its user may do with each given path, one line per right."""


@pytest.fixture
def one(tmp_path: Path) -> Iterator[EmbeddedBox]:
    """Yield an environment; the test writes its configuration."""
    made = box(f"e2e-2nd-{uuid.uuid4().hex[:6]}", tmp_path, "-f", str(tmp_path / "envkit.yaml"))
    yield made
    left = made.close()
    assert not left, left


@pytest.fixture
def stores(one: EmbeddedBox) -> EmbeddedBox:
    """Return Redis with a password, PostgreSQL, and a configured command, brought up under the widest umask."""
    redis, postgres = ports.free(2)
    (one.folder / "envkit.yaml").write_text(
        f"""
services:
  r: {{preset: redis, options: {{password: hidden}}, ports: {{redis: {redis}}}}}
  p: {{preset: postgres, ports: {{postgres: {postgres}}}}}
  own: {{process: {{command: [sleep, '600']}}, files: [{{path: /secret, content: s, mode: '0600'}}]}}
"""
    )
    before = os.umask(0)
    try:
        one("up").ok()
        one("run", "--", "true").ok()
        one("run", "--", "false")
        one("gather")
    finally:
        os.umask(before)
    return one


def reached(uid: int, gid: int, paths: list[Path]) -> list[str]:
    """Return what that user may do with the paths."""
    lines = "".join(f"{path}\n" for path in paths)
    done = subprocess.run(
        ["/bin/sh", "-c", REACHED], input=lines, text=True, capture_output=True, cwd="/", user=uid, group=gid,
        extra_groups=[],
    )  # fmt: skip
    assert done.returncode in (0, 1), done
    return done.stdout.splitlines()


def everything(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in (folder, *folder.rglob("*"))]


# A second user


def test_a_second_user_reads_and_writes_nothing(stores: EmbeddedBox) -> None:
    """This holds for the state directory and for the services, however wide the umask was."""
    paths = everything(stores.state, stores.services)
    kinds = {path.name for path in paths}
    assert {"launch.json", "log", "state.json", "events.jsonl", "timings", "PG_VERSION"} <= kinds, sorted(kinds)
    wide = {str(path): oct(path.stat().st_mode & 0o777) for path in paths if path.stat().st_mode & 0o077}
    assert wide.pop(str(stores.services), "0o711") == "0o711"
    for name in ("r", "p"):  # the service's own user may enter its folder, and may read its files in a private one
        assert wide.pop(str(stores.services / name), "0o710") == "0o710"
        assert wide.pop(str(stores.services / name / "root"), "0o750") == "0o750"
    assert not {path: mode for path, mode in wide.items() if "/root/" not in path}
    if ROOT:
        assert reached(OTHER, OTHER, everything(stores.services)) == []
        assert reached(OTHER, OTHER, [accounts.REGISTRY, accounts.REGISTRY.parent]) == [
            f"lists {accounts.REGISTRY.parent}"
        ]


def test_the_cache_of_databases_is_the_users_alone(one: EmbeddedBox) -> None:
    (port,) = ports.free()
    (one.folder / "envkit.yaml").write_text(f"services: {{p: {{preset: postgres, ports: {{postgres: {port}}}}}}}\n")
    cache = one.folder / "cache"
    before = os.umask(0)
    try:
        one("up", XDG_CACHE_HOME=str(cache)).ok()
    finally:
        os.umask(before)
    made = everything(cache / "envkit/postgres")
    assert any(path.name == "PG_VERSION" for path in made)
    assert not [path for path in made if path.stat().st_mode & 0o077], made


# Users of services


def test_each_service_runs_as_a_user_that_nobody_else_has(stores: EmbeddedBox) -> None:
    """envkit's user runs the shell that leads each service, and the commands of the configuration."""
    users = {name: stores.program(name).uids() for name in ("r", "p", "own")}
    assert all(len({one.real, one.effective, one.saved}) == 1 for one in users.values())
    assert {psutil.Process(int(pid)).uids().real for pid in stores.ids().values()} == {os.getuid()}
    numbers = [users[name].real for name in ("r", "p")]
    assert users["own"].real == os.getuid()
    if ROOT:
        assert len({*numbers}) == 2 and all(number in accounts.WINDOW for number in numbers)
        assert not [entry for entry in pwd.getpwall() if entry.pw_uid in numbers]
        families = [stores.program(name) for name in ("r", "p")]
        assert {it.uids().real for top in families for it in (top, *top.children(recursive=True))} == {*numbers}
        assert stores.program("r").gids().real == numbers[0]
        groups = Path(f"/proc/{stores.program('r').pid}/status").read_text().partition("Groups:")[2].splitlines()[0]
        assert groups.strip() == ""


def test_a_services_user_owns_its_data_and_writes_nothing_else(stores: EmbeddedBox) -> None:
    """This includes `launch.json`, because the next `restart` executes it."""
    for name in ("r", "p"):
        uid, folder = stores.program(name).uids().real, stores.services / name
        owned = {path for path in everything(stores.services) if path.stat().st_uid == uid}
        if not ROOT:
            assert folder in owned
            continue
        assert owned == set(everything(folder / "data")), name
        others = [path for path in everything(stores.services, stores.state) if path not in owned]
        may = {line for line in reached(uid, uid, others) if not line.startswith(f"reads {folder}/root/")}
        assert may <= {f"lists {path}" for path in everything(folder / "root") if path.is_dir()}, may
        before = stores.ids()[name]
        stores("restart", name).ok()
        assert stores.ids()[name] != before and stores.program(name).uids().real == uid


def test_two_environments_never_share_a_user(stores: EmbeddedBox, tmp_path: Path) -> None:
    (port,) = ports.free()
    (tmp_path / "other.yaml").write_text(f"services: {{r: {{preset: redis, ports: {{redis: {port}}}}}}}\n")
    other = box(f"{stores.name}-b", tmp_path, "-f", str(tmp_path / "other.yaml"))
    try:
        other("up").ok()
        users = [stores.program("r").uids().real, stores.program("p").uids().real, other.program("r").uids().real]
        assert len({*users}) == (3 if ROOT else 1)
        assert not ROOT or reached(users[2], users[2], everything(stores.services)) == []
    finally:
        assert other.close() == []
    left = [link.name for link in accounts.REGISTRY.glob("[0-9]*") if f"{other.name}/" in str(link.readlink())]
    assert left == []


# A stranger on the port


class Stranger:
    """A process that binds a port as soon as a client connects to its unix socket, and then answers no client."""

    def __init__(self, path: Path, port: int) -> None:
        self._path, self._port = path, port
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(path))
        self._door.listen()
        self._taken: socket.socket | None = None
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        visitor, _ = self._door.accept()
        with visitor:
            if visitor.recv(1):  # no client connected: the test is over
                self._taken = socket.create_server(("127.0.0.1", self._port))
                visitor.sendall(b"!")

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(self._path))
        self._thread.join(10)
        self._door.close()
        if self._taken:
            self._taken.close()


CALLS = """
import os, socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[2]))) if sys.argv[3] == "first" else None
while listener and not os.path.exists(sys.argv[1] + ".go"):
    time.sleep(0.05)
if listener:
    listener.close()
door = socket.socket(socket.AF_UNIX)
door.connect(sys.argv[1])
door.sendall(b"!")
door.recv(1)
time.sleep(600)
"""
"""A service that lets another process take its port: at once, or with `first` when a file appears."""


def calling(one: EmbeddedBox, door: Path, port: int, when: str) -> None:
    web = {
        "process": {"command": [shutil.which("python3"), "-c", CALLS, str(door), str(port), when]},
        "ports": {"web": {"container": 8080, "host": port}},
        "probe": {"type": "tcp"},
        "timeout": 20,
    }
    (one.folder / "envkit.yaml").write_text(json.dumps({"services": {"web": web}}))


def test_a_stranger_that_answers_on_the_port_is_not_the_service(one: EmbeddedBox, tmp_path: Path) -> None:
    (port,) = ports.free()
    calling(one, tmp_path / "door", port, "at-once")
    with closing(Stranger(tmp_path / "door", port)):
        said = one("up")
    assert said.code == 3, said
    assert f"port {port} (wanted by web) is held by process {os.getpid()}" in said.err, said


def test_status_says_who_took_a_services_port_later(one: EmbeddedBox, tmp_path: Path) -> None:
    (port,) = ports.free()
    calling(one, tmp_path / "door", port, "first")
    with closing(Stranger(tmp_path / "door", port)) as stranger:
        one("up").ok()
        one("status").ok()
        (tmp_path / "door.go").touch()
        assert eventually(lambda: stranger._taken)
        said = one("status", "--json")
        assert said.code == 4, said
        (row,) = said.json["services"]
        assert row["health"].startswith(f"port {port} is held by process {os.getpid()} ("), row
        assert row["health"].endswith("), not by web"), row
        text = one("up")
        assert text.code == 3 and f"port {port} (wanted by web) is held by process {os.getpid()}" in text.err, text


# An envkit that is killed while a database is made


def test_nothing_of_a_killed_initdb_stays(one: EmbeddedBox, tmp_path: Path) -> None:
    (port,) = ports.free()
    (one.folder / "envkit.yaml").write_text(f"services: {{p: {{preset: postgres, ports: {{postgres: {port}}}}}}}\n")
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    def theirs(word: str = "") -> list[str]:
        """Return the environment's processes, identified by marker, working folder or command line."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                told = " ".join(process.cmdline())
                marked = process.environ().get("ENVKIT_ENV") == one.name
                if word in told and (marked or str(one.services) in f"{process.cwd()} {told}"):
                    found.append(told)
        return found

    running = one.start("up", **cache)
    assert eventually(lambda: theirs("initdb"), 60)
    running.send(signal.SIGKILL)
    running.wait()
    one("down", **cache).ok()

    assert theirs() == []
    assert one.left() == []
    assert not [*Path("/var/tmp").glob("envkit-initdb-*")]
    one("up", **cache).ok()
    assert [path.name for path in (tmp_path / "cache/envkit/postgres").glob(".*")] == []
