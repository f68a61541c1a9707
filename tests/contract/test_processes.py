"""The behaviour of services as processes: sessions and trees, markers, folders, limits, start times."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from envkit.base import labels
from envkit.base.errors import EngineError, PortTaken
from envkit.base.ports import accepts
from envkit.drivers.runtimes import limits, marked
from envkit.drivers.runtimes.marked import marked_processes, session, tree
from envkit.drivers.runtimes.process_table import alive, is_stranger, start_time
from envkit.drivers.runtimes.processes import Processes
from envkit.planning.facts import Instance
from tests.contract.bench import CLAIM, OWNER, ProcessBench
from tests.docs.blocks import ROOT

MIB = 2**20
LISTEN = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"
DETACH = "import os, time; os.fork() or (os.setsid(), os.fork() and os._exit(0), time.sleep(600)); time.sleep(600)"
"""A program with a child that leaves the session and whose parent ends, like a daemon."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[ProcessBench]:
    made = ProcessBench(f"cp-{os.getpid()}", tmp_path)
    yield made
    made.clean()


def eventually(check: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := check()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


def members(place: ProcessBench, instance: Instance) -> set[int]:
    """Return the ids of all processes of a service, found without the code under test."""
    return {marked.pid for marked in marked_processes(place.environment) if marked.service == instance.service}


def program_of(instance: Instance) -> psutil.Process:
    """Return the process that the service's shell runs."""
    found: psutil.Process = eventually(lambda: psutil.Process(int(instance.id)).children())[0]
    return found


def folder_of(place: ProcessBench, instance: Instance) -> Path:
    return place.folder / "services" / instance.service


# Process trees


def test_a_file_is_renewed_in_place_with_its_mode(place: ProcessBench) -> None:
    made = place.start(files=[{"path": "/etc/token", "content": "old", "mode": "0640"}])
    file = folder_of(place, made) / "root/etc/token"
    before = file.stat().st_ino

    assert place.runtime.rewrite(made.name, "/etc/token", b"new")
    assert not place.runtime.rewrite(made.name, "/etc/token", b"new"), "the content was the same already"
    assert not place.runtime.rewrite(made.name, "/etc/other", b"new")
    assert not place.runtime.rewrite(f"{made.name}-other", "/etc/token", b"newer")

    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o640
    assert file.stat().st_ino != before, "a new file replaced the old one"
    assert [path.name for path in file.parent.iterdir()] == ["token"]


def test_each_service_leads_a_session_of_its_own_and_is_marked(place: ProcessBench) -> None:
    made = place.start()
    program = program_of(made)

    assert os.getsid(program.pid) == os.getsid(int(made.id)) == int(made.id) != os.getsid(0)
    assert program.environ()["ENVKIT_ENV"] == place.environment
    assert program.environ()["ENVKIT_SERVICE"] == made.service
    assert members(place, made) == {int(made.id), program.pid}


@pytest.mark.parametrize("grace", [0.0, 1.0])
def test_children_and_their_children_go_with_it(place: ProcessBench, grace: float) -> None:
    made = place.start(command=["sh", "-c", "sh -c 'sleep 600 & sleep 600' & sleep 600"])
    assert eventually(lambda: len(members(place, made)) >= 6)
    before = members(place, made)

    place.runtime.remove(made, grace=grace)

    assert not [pid for pid in before if alive(pid)]


def test_what_has_left_session_and_parent_goes_as_well(place: ProcessBench) -> None:
    made = place.start(command=[sys.executable, "-c", DETACH])
    other = place.start()

    def lost() -> list[int]:
        gone = members(place, made) - session(int(made.id), None)
        return [pid for pid in gone if os.getsid(pid) != pid]

    assert eventually(lost), "one process is in another session, whose leader has ended"
    before = members(place, made)

    place.runtime.remove(made)

    assert not [pid for pid in before if alive(pid)]
    assert place.runtime.look(other).running


def test_a_program_that_rewrites_its_variables_goes_too(place: ProcessBench) -> None:
    """Redis and PostgreSQL overwrite their variables in memory, so the marker cannot be read any more."""
    made = place.start(command=["env", "-i", "sleep", "600"])
    program = program_of(made)
    assert eventually(lambda: "ENVKIT_ENV" not in program.environ())
    os.kill(int(made.id), signal.SIGKILL)
    eventually(lambda: not place.runtime.look(made).running)

    place.runtime.remove(place.runtime.look(made))

    assert not alive(program.pid)


def test_what_ignores_everything_but_sigkill_is_killed_after_its_grace(place: ProcessBench) -> None:
    script = (
        "import signal, time\nfor n in (1, 2, 3, 15): signal.signal(n, signal.SIG_IGN)\n"
        "print(1, flush=True)\ntime.sleep(600)"
    )
    made = place.start(command=[sys.executable, "-c", script])
    assert eventually(lambda: place.runtime.logs(made))
    program, began = program_of(made), time.monotonic()

    place.runtime.remove(made, grace=0.5)

    assert 0.5 <= time.monotonic() - began < 4
    assert not alive(program.pid)


@pytest.mark.parametrize(("name", "signum"), [("TERM", 15), ("INT", 2), ("QUIT", 3)])
def test_the_stop_signal_is_the_one_that_the_service_names(place: ProcessBench, name: str, signum: int) -> None:
    heard = place.folder / "heard"
    script = (
        "import signal, sys, time\n"
        f"def hear(n, _): open({str(heard)!r}, 'w').write(str(n)); sys.exit(0)\n"
        "for n in (2, 3, 15): signal.signal(n, hear)\nprint(1, flush=True)\ntime.sleep(600)"
    )
    made = place.start(command=[sys.executable, "-c", script], process={"stop_signal": name})
    assert eventually(lambda: place.runtime.logs(made))

    place.runtime.remove(made, grace=5.0)

    assert heard.read_text() == str(signum)


def test_no_longer_is_waited_than_the_service_is_worth(place: ProcessBench) -> None:
    made = place.start(command=["sh", "-c", "trap '' TERM; echo on; while :; do sleep 0.1; done"], stop_timeout=0.2)
    assert eventually(lambda: place.runtime.logs(made))
    began = time.monotonic()

    place.runtime.remove(made, grace=20.0)

    assert 0.2 <= time.monotonic() - began < 5


def test_threads_that_outlive_the_first_one_are_alive(place: ProcessBench) -> None:
    """A process whose main thread has ended shows as a zombie, but holds its ports until the last thread ends."""
    script = (
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(600,)).start(); "
        "ctypes.CDLL(None).syscall(60, 0)"  # ends only the main thread
    )
    if os.uname().machine != "x86_64":
        pytest.skip("this system call has another number here")
    made = place.start(command=[sys.executable, "-c", script])
    program = program_of(made)
    assert eventually(lambda: program.status() == psutil.STATUS_ZOMBIE)

    assert alive(program.pid)
    place.runtime.remove(made)
    assert not alive(program.pid)


# Finding processes


def test_a_lost_folder_is_made_up_for_by_the_marker(place: ProcessBench) -> None:
    made = place.start(memory=64 * MIB)
    shutil.rmtree(place.folder / "services")

    (found,) = place.runtime.observe(place.environment)
    assert (found.id, found.name, found.service, found.running) == (made.id, made.name, made.service, False)

    place.runtime.remove(found)
    assert place.runtime.observe(place.environment) == []
    assert not alive(int(made.id))
    assert limits.groups(place.environment, OWNER.key) == []


@pytest.mark.skipif(sys.platform != "linux", reason="psutil has this race only on Linux")
def test_a_process_is_known_by_its_marker_from_its_first_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortly after exec the kernel shows no variables: in one of thirty reads, with both processors busy."""
    environment, missed = f"first-{os.getpid()}", 0
    for _ in range(300):
        began = subprocess.Popen(
            ["/bin/sh", "-c", "read -r _"], stdin=subprocess.PIPE, env={"ENVKIT_ENV": environment},
            start_new_session=True,
        )  # fmt: skip
        with began:
            monkeypatch.setattr(marked, "pids", lambda pid=began.pid: [pid])
            missed += [it.pid for it in marked_processes(environment)] != [began.pid]
            began.communicate(b"\n")
    assert missed == 0


def test_another_envkit_finds_it_and_knows_how_it_ended(place: ProcessBench) -> None:
    made = place.start(command=["sh", "-c", "sleep 0.2; exit 9"])
    other = Processes(place.folder / "services", place.runtime._prepare, CLAIM)

    assert other.observe(place.environment) == [made]
    gone = eventually(lambda: (now := other.look(made)).state == "exited" and now)
    assert gone.exit_code == 9


def test_a_number_that_was_given_away_is_nobody_of_ours(place: ProcessBench) -> None:
    made = place.start()
    time.sleep(0.05)  # the kernel reports start times in ticks of 10 ms
    stranger = int(place.stranger("stranger"))
    record = folder_of(place, made) / "instance.json"
    raw = json.loads(record.read_text())
    real = replace(made)
    record.write_text(json.dumps({**raw, "id": str(stranger)}))

    (seen,) = place.runtime.observe(place.environment)
    assert (seen.state, seen.id) == ("exited", str(stranger))
    place.runtime.remove(seen)

    assert alive(stranger), "another program's process has the old id"
    assert not alive(int(real.id)), "found by its marker"


def test_a_start_time_is_of_one_process_and_stays(place: ProcessBench) -> None:
    pid = int(place.start().id)
    began = start_time(pid)

    assert began > 0
    assert start_time(pid) == began
    assert alive(pid, began)
    assert not alive(pid, began - 0.02)
    assert is_stranger(pid, began + 0.02)
    assert session(pid, began - 0.02) == set()
    assert tree(pid, began - 0.02, place.environment, "other", CLAIM) == set()
    assert start_time(2**22 + 1) == 0.0
    assert not is_stranger(2**22 + 1, began), "no process has this id, but its session may still exist"


def test_the_caller_and_its_parents_are_never_of_the_tree(place: ProcessBench) -> None:
    script = (
        "from envkit.drivers.runtimes.marked import tree; from tests.contract.bench import CLAIM; import os; "
        f"print(os.getpid() in tree(2**22 + 1, None, {place.environment!r}, 's', CLAIM))"
    )
    marks = {**labels.marks_of(place.environment, OWNER), "ENVKIT_SERVICE": "s", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, **marks}, capture_output=True, text=True)

    assert done.stdout == "False\n", done.stderr


def test_records_of_somebody_else_are_not_believed(place: ProcessBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any user can create a folder with our name below /var/tmp, with a record that names one of our processes."""
    place.start()
    uid = os.getuid()
    monkeypatch.setattr("envkit.drivers.runtimes.processes.os.getuid", lambda: uid + 1)

    assert [it.state for it in place.runtime.observe(place.environment)] == ["other"], "by its marker alone"
    with pytest.raises(EngineError, match="belongs to somebody else"):
        place.start()


@pytest.mark.parametrize("text", ["", "{", "{}", '{"id": "1", "nonsense": 1, "published": {}}'])
def test_a_broken_record_is_none(place: ProcessBench, text: str) -> None:
    made = place.start()
    (folder_of(place, made) / "instance.json").write_text(text)

    assert [it.state for it in place.runtime.observe(place.environment)] == ["other"]


# Start and end


def test_the_program_begins_when_it_is_recorded_and_limited(
    place: ProcessBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool]] = []

    def confine(_folder: Path, pid: int, _memory: int) -> bool:
        recorded = bool([*(place.folder / "services").glob("*/instance.json")])
        seen.append((recorded, bool(psutil.Process(pid).children())))
        return True

    monkeypatch.setattr(limits, "confine", confine)
    monkeypatch.setattr(limits, "group", lambda *_names: place.folder / "group")

    made = place.start(memory=64 * MIB)

    assert seen == [(True, False)]
    assert eventually(lambda: program_of(made).name() == "sleep"), "the shell has executed the program"


def test_a_full_disk_before_the_record_leaves_no_program(place: ProcessBench, monkeypatch: pytest.MonkeyPatch) -> None:
    began = place.folder / "began"

    def full(*_given: object) -> None:
        raise OSError(28, "No space left on device", "instance.json")

    monkeypatch.setattr("envkit.drivers.runtimes.processes.write_private", full)

    with pytest.raises(EngineError, match=r"cannot be started: No space left on device \(instance.json\)") as caught:
        place.start(command=["touch", str(began)])

    assert "disk" in caught.value.hint
    assert eventually(lambda: place.runtime.observe(place.environment) == [])
    assert not began.exists()
    assert not [*(place.folder / "services").iterdir()]


def test_a_program_that_is_nowhere_leaves_nothing(place: ProcessBench) -> None:
    from envkit.base.errors import EnvironmentFailed

    with pytest.raises(EnvironmentFailed, match="no-such-program"):
        place.start(command=["no-such-program"])

    assert place.runtime.observe(place.environment) == []
    assert not [*(place.folder / "services").iterdir()]


def test_a_killed_shell_does_not_hide_that_its_program_lives(place: ProcessBench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    made = place.start(command=[sys.executable, "-c", LISTEN, str(port)], ports={80: port})
    assert eventually(lambda: accepts(port))
    os.kill(int(made.id), signal.SIGKILL)

    gone = place.ended(made)
    assert (gone.exit_code, gone.published) == (137, {80: port}), "a process of the service holds the port"
    again = place.runtime.start(replace(place.unit(made.service, ports={80: port})))

    assert again.running
    assert not accepts(port)


def test_a_port_of_a_dead_service_is_no_longer_its_own(place: ProcessBench) -> None:
    made = place.ended(place.start(command=["true"], ports={80: 20001}))

    assert made.published == {}


def test_a_taken_port_leaves_no_folder(place: ProcessBench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken):
            place.start(ports={80: port})

    assert not [*(place.folder / "services").glob("*/instance.json")]


# Folders


def test_files_have_their_modes_and_data_is_the_users_alone(place: ProcessBench) -> None:
    files = [
        {"path": "/etc/secret", "content": "k€y", "mode": "0400"},
        {"path": "/bin/tool", "content": "x", "mode": "0755"},
    ]
    made = place.start(files=files)
    folder = folder_of(place, made)

    modes = {name: oct((folder / name).stat().st_mode & 0o777) for name in
             ("root/etc/secret", "root/bin/tool", "data", "instance.json", "launch.json")}  # fmt: skip
    assert modes == {
        "root/etc/secret": "0o400", "root/bin/tool": "0o755", "data": "0o700", "instance.json": "0o600",
        "launch.json": "0o600",
    }  # fmt: skip
    assert place.runtime.execute(made, ["cat", "root/etc/secret"]) == (0, "k€y")


def test_a_restart_keeps_data_words_and_variables_and_forgets_the_death(place: ProcessBench) -> None:
    script = "echo one >> data/log; wc -l < data/log; echo $WORD; [ $(wc -l < data/log) = 1 ] && exit 5; exec sleep 600"
    made = place.start(command=["sh", "-c", script], env={"WORD": "hello"}, files=[{"path": "/kept", "content": "k"}])
    assert place.ended(made).exit_code == 5

    again = place.runtime.restart(made, 0)

    assert (again.running, again.fingerprint, again.exit_code) == (True, made.fingerprint, None)
    assert again.id != made.id
    assert eventually(lambda: place.runtime.logs(made).split() == ["1", "hello", "2", "hello"]), place.runtime.logs(
        made
    )
    assert place.runtime.observe(place.environment) == [again]
    assert (folder_of(place, made) / "root/kept").read_text() == "k"


def test_all_of_it_is_gone_in_the_end(place: ProcessBench) -> None:
    made = place.start(memory=64 * MIB, files=[{"path": "/x", "content": "x"}])

    place.runtime.remove(made)

    assert not folder_of(place, made).exists()
    assert limits.groups(place.environment, OWNER.key) == []


# Limits


@pytest.fixture
def limited(place: ProcessBench) -> ProcessBench:
    if limits.group(place.environment, "s", OWNER.key) is None:
        pytest.skip("this user is not allowed to create control groups here")
    return place


def test_the_limit_holds_the_program_and_not_only_its_shell(limited: ProcessBench) -> None:
    made = limited.start(memory=64 * MIB)

    assert limited.runtime.limit_of(made) == str(64 * MIB)
    group = limits.group(limited.environment, made.service, OWNER.key)
    assert group is not None
    both = {int(made.id), program_of(made).pid}
    assert {int(line) for line in (group / "cgroup.procs").read_text().split()} == both


def test_a_restart_forgets_that_memory_ran_out(limited: ProcessBench) -> None:
    script = "[ -e again ] && exit 7; touch again; exec tail /dev/zero"
    made = limited.start(command=["sh", "-c", script], memory=16 * MIB)
    gone = limited.ended(made)
    assert (gone.exit_code, gone.oom_killed) == (137, True)

    gone = limited.ended(limited.runtime.restart(made, 0))

    assert (gone.exit_code, gone.oom_killed) == (7, False)
