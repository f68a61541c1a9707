"""Services that run as their own user: access to files that envkit executes or reads, and listeners on their ports.

If the tests do not run as root, there is no such user: the services run as the user of the tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from envkit.base.ports import accepts
from envkit.drivers import accounts
from envkit.drivers.runtimes.process_table import alive
from envkit.planning.facts import Instance
from tests.contract.bench import ProcessBench
from tests.contract.test_processes import eventually

ROOT = os.getuid() == 0
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") if ROOT else sys.executable
"""A Python that every user can run. The Python of the tests may be below root's home."""

HOSTILE = """
id -u
echo mine > data/mine
for path in exit launch.json instance.json log new root/etc/key root/etc/new; do
    (echo forged > $path) 2>/dev/null && echo wrote $path
    mv data/mine $path 2>/dev/null && echo replaced $path
    ln -sfn /etc/passwd $path 2>/dev/null && echo linked $path
done
for path in launch.json instance.json log /proc/$PPID/environ; do
    cat $path >/dev/null 2>&1 && echo read $path
done
ls . >/dev/null 2>&1 && echo listed its folder
cat root/etc/key
kill -9 $PPID 2>/dev/null && echo killed its shell
exit 7
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[ProcessBench]:
    made = ProcessBench(f"cu-{os.getpid()}", tmp_path)
    yield made
    made.clean()


def folder_of(place: ProcessBench, instance: Instance) -> Path:
    return place.folder / "services" / instance.service


# Users


def test_a_services_user_owns_its_data_and_nothing_that_envkit_reads(place: ProcessBench) -> None:
    files = [{"path": "/etc/key", "content": "secret\n", "mode": "0600"}]
    made = place.start(command=["sh", "-c", HOSTILE], files=files, process={"own_user": True})
    gone = place.ended(made)
    uid, *harm = place.runtime.logs(made).splitlines()

    if not ROOT:
        assert int(uid) == os.getuid() and "wrote launch.json" in harm, "without its own user, the service can do harm"
        return
    assert int(uid) in accounts.WINDOW
    assert harm == ["secret"]
    assert gone.exit_code == 7
    folder = folder_of(place, made)
    assert (folder / "data/mine").stat().st_uid == int(uid)
    assert {path.stat().st_uid for path in (folder, *folder.iterdir()) if path.name != "data"} == {0}
    assert place.ended(place.runtime.restart(made, 0)).exit_code == 7
    assert place.runtime.logs(made).splitlines() == [uid, "secret"] * 2, "a restart has the same user"
    place.runtime.remove(made)
    assert not (accounts.REGISTRY / uid).is_symlink()


def test_a_command_of_the_configurations_runs_as_envkits_user(place: ProcessBench) -> None:
    """Such a command is often in a checkout that other users cannot read."""
    made = place.start(command=["sh", "-c", "id -u"])
    place.ended(made)

    assert place.runtime.logs(made).strip() == str(os.getuid())


def test_a_program_that_only_root_can_reach_is_run_as_its_user(place: ProcessBench, tmp_path: Path) -> None:
    """KUBEBUILDER_ASSETS is often below root's home, which the service's user cannot read."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copy(Path(str(shutil.which("id"))).resolve(), closed / "id")
    made = place.start(command=[str(closed / "id"), "-u"], process={"own_user": True})
    place.ended(made)

    said = place.runtime.logs(made).strip()
    assert int(said) in accounts.WINDOW if ROOT else said == str(os.getuid())


def test_what_its_user_runs_is_the_services_wherever_it_went(place: ProcessBench) -> None:
    """The process has new variables, a new session and a new parent, so only its user identifies it, if it has one."""
    nap = f"600.{os.getpid()}"
    flee = f"(setsid env -i /bin/sleep {nap} &); exec sleep 600"
    made = place.start(command=["sh", "-c", flee], process={"own_user": True})

    def fled() -> list[int]:
        return [it.pid for it in psutil.process_iter(["cmdline"]) if it.info["cmdline"] == ["/bin/sleep", nap]]

    found = eventually(fled)
    place.runtime.remove(made)

    assert found
    assert not ROOT or not [pid for pid in found if alive(pid)]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_the_program_hears_the_signals_that_every_program_hears(place: ProcessBench) -> None:
    """envkit's launcher is Python, which ignores SIGPIPE; the program must not inherit this."""
    said = []
    for own in (False, True):
        made = place.start(command=["grep", "SigIgn", "/proc/self/status"], process={"own_user": own})
        assert place.ended(made).exit_code == 0
        said.append(place.runtime.logs(made))
    assert said[0] == said[1]


@pytest.mark.parametrize("umask", [0o000, 0o077])
@pytest.mark.parametrize("own", [False, True])
def test_a_services_folder_is_closed_whatever_the_umask(place: ProcessBench, umask: int, own: bool) -> None:
    before = os.umask(umask)
    try:
        made = place.ended(place.start(command=["sh", "-c", "echo hi"], process={"own_user": own}))
    finally:
        os.umask(before)
    folder = folder_of(place, made)
    assert eventually(lambda: (folder / "exit").exists())

    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}
    assert modes == {**dict.fromkeys(("exit", "log", "instance.json", "launch.json"), "0o600"), "data": "0o700"}
    assert oct(folder.stat().st_mode & 0o777) == ("0o710" if own and ROOT else "0o700")
    assert oct(folder.parent.stat().st_mode & 0o777) == "0o711"


def test_a_log_that_is_a_link_is_not_written_through(place: ProcessBench, tmp_path: Path) -> None:
    made = place.ended(place.start(command=["sh", "-c", "echo hi"]))
    (tmp_path / "victim").write_text("mine")
    log = folder_of(place, made) / "log"
    log.unlink()
    log.symlink_to(tmp_path / "victim")

    with pytest.raises(OSError, match="symbolic links"):
        place.runtime.restart(made, 0)
    assert (tmp_path / "victim").read_text() == "mine"


# Listeners


def test_a_stranger_on_a_services_port_is_named(place: ProcessBench) -> None:
    """The stranger binds the port after envkit's check, so it would answer every probe."""
    port = free()
    made = place.start(ports={80: port})
    assert place.runtime.strangers([made]) == {}, "no process listens yet"

    with socket.create_server(("127.0.0.1", port)):
        (holder,) = place.runtime.strangers([made]).values()

    assert (holder.port, holder.pid) == (port, os.getpid())


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("where", ["127.0.0.1", "0.0.0.0", "::", "fled"])
def test_a_service_that_listens_is_no_stranger(place: ProcessBench, where: str, own: bool) -> None:
    port = free()
    family = "AF_INET6" if where == "::" else "AF_INET"
    flee = "if os.fork(): time.sleep(600)\nos.setsid()\n" if where == "fled" else ""
    host = "127.0.0.1" if where == "fled" else where
    listen = (
        f"import os, socket, time\n{flee}"
        f"s = socket.create_server(({host!r}, {port}), family=socket.{family}, dualstack_ipv6={where == '::'})\n"
        "time.sleep(600)"
    )
    made = place.start(command=[str(PYTHON), "-c", listen], ports={80: port}, process={"own_user": own})
    assert eventually(lambda: accepts(port))

    assert place.runtime.strangers([made]) == {}
    with socket.create_server(("127.0.0.1", 0)) as other:
        elsewhere = replace(made, published={80: other.getsockname()[1]})
        assert [holder.pid for holder in place.runtime.strangers([elsewhere]).values()] == [os.getpid()]


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
