"""Tests of SIGKILL to `run` at any moment: the supervisor takes the environment down and leaves only the evidence."""

from __future__ import annotations

import os
import random
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import psutil
import pytest
from filelock import FileLock

from envkit.watch.folder import RunFolder
from tests.e2e.embedded_box import EmbeddedBox
from tests.e2e.embedded_box import box as embedded
from tests.support import ports
from tests.support.box import Box, Running, Small, eventually

pytestmark = pytest.mark.e2e

MOMENTS = int(os.environ.get("ENVKIT_TEST_KILLS", "3"))
"""How often the test kills `run`; use 20 after a change of the supervisor."""

PATIENCE = 10.0
"""Seconds within which everything must be gone, as docs/run.md promises."""

STUBBORN = "(trap '' TERM; exec setsid sleep 61) & echo here; sleep 60"
"""A shell command that starts a process in another session; the process ignores SIGTERM."""


def services(first: int, second: int) -> str:
    """Return services without a cluster, for speed.

    They are a cache, a database, a one-shot that needs the database, and a service that needs both.
    """
    return f"""
        cluster: none
        services:
          cache: {{preset: redis, ports: {{redis: {first}}}}}
          database: {{preset: postgres, ports: {{postgres: {second}}}}}
          prepare: {{once: true, host_command: [sleep, "0.4"], needs: database}}
        """


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[EmbeddedBox]:
    """Yield an environment of plain processes."""
    first, second = ports.free(2)
    (tmp_path / "envkit.yaml").write_text(dedent(services(first, second)))
    name = f"e2e-kill-{uuid.uuid4().hex[:6]}"
    one = embedded(name, tmp_path, "-f", str(tmp_path / "envkit.yaml"), ports=(first, second))
    yield one
    left = one.close()
    assert not left, left


def attached(box: Box) -> list[str]:
    """Return the processes of a `run` except services: wrapper, supervisor, the command and its children."""
    found = []
    for process in psutil.process_iter():
        try:
            environ = process.environ()
            if environ.get("ENVKIT_STATE_DIR") == str(box.state) and "ENVKIT_ENV" not in environ:
                found.append(f"process {process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found


def runs(box: Box) -> list[RunFolder]:
    """Return the folders of this environment's runs, oldest first."""
    return [RunFolder(path) for path in sorted((box.state / "runs" / box.name).glob("*"))]


def killed(box: Box, running: Running) -> None:
    """Kill the wrapper now, and check that only the evidence remains."""
    running.send(signal.SIGKILL)
    running.wait(10)
    began = time.monotonic()
    gone = eventually(lambda: not attached(box), PATIENCE) is True and box.left() == []
    took = time.monotonic() - began
    evidence = runs(box)[-1].timeline.read_text() if runs(box) else "no evidence"
    assert gone, f"after {took:.1f} s: {box.left()} {attached(box)}\n{running.err()}\n{evidence}"
    print(f"all gone after {took:.1f} s")


def undisturbed(box: Box) -> float:
    """Return the seconds of a whole run on this machine."""
    said = box("run", "--", "sleep", "1").ok()
    assert "cache" in said.err and "memory" in said.err, "told before and after"
    assert box.left() == []
    return said.seconds


def test_a_kill_at_any_moment_leaves_nothing_but_evidence(processes: EmbeddedBox) -> None:
    seconds = undisturbed(processes)
    for number in range(MOMENTS):
        moment = seconds * (number + random.random()) / MOMENTS
        running = processes.start("run", "--", "sleep", "1")
        time.sleep(moment)
        print(f"killing after {moment:.2f} of {seconds:.2f} s")
        killed(processes, running)


def test_a_kill_while_the_command_runs_keeps_what_is_known(processes: EmbeddedBox) -> None:
    running = processes.start("run", "--", "sh", "-c", STUBBORN)
    assert eventually(lambda: "here" in running.out(), 60), running.err()
    folder = runs(processes)[-1]
    assert eventually(lambda: (folder.logs / "database.log").exists(), 20), "logs are followed"
    killed(processes, running)
    assert "ready to accept connections" in (folder.logs / "database.log").read_text()
    assert "the wrapper was killed" in folder.timeline.read_text()
    assert folder.read_facts()["killed"] is True


def test_a_kill_takes_away_only_what_run_had_brought_up(processes: EmbeddedBox) -> None:
    processes("up").ok()
    before = processes.ids()
    running = processes.start("run", "--", "sh", "-c", "echo here; sleep 60")
    assert eventually(lambda: "here" in running.out(), 60), running.err()
    running.send(signal.SIGKILL)
    running.wait(10)
    assert eventually(lambda: not attached(processes), PATIENCE), attached(processes)
    assert processes.ids() == before
    processes("status").ok()
    processes("down").ok()


def test_what_wrapper_and_watch_left_when_killed_together_is_found(processes: EmbeddedBox) -> None:
    running = processes.start("run", "--", "sh", "-c", "echo here; sleep 60")
    assert eventually(lambda: "here" in running.out(), 60), running.err()
    (watch,) = (it for it in psutil.Process(running.process.pid).children() if "envkit.cli.supervising" in it.cmdline())
    watch.kill()
    running.send(signal.SIGKILL)
    running.wait(10)
    before = processes.ids()
    assert before, "nobody was there to take it away"
    said = processes("up").ok()
    assert "killed together with its watch" in said.err and not {*processes.ids().values()} & {*before.values()}, said
    assert "killed together" not in processes("up").ok().err, "this one is wanted"
    processes("down").ok()
    assert processes.left() == []
    for process in psutil.process_iter():
        if process.pid in {int(line.split()[1]) for line in attached(processes)}:
            process.kill()  # the command of the killed run: no envkit process is left that could end it


def test_what_the_wrapper_has_no_more_time_for_the_watch_takes_down(processes: EmbeddedBox, tmp_path: Path) -> None:
    go = tmp_path / "go"
    running = processes.start("run", "--", "sh", "-c", f"echo here; while [ ! -e {go} ]; do sleep 0.1; done")
    assert eventually(lambda: "here" in running.out(), 60), running.err()
    with FileLock(processes.state / ".locks" / processes.name):  # like another envkit that holds the lock
        go.touch()
        assert eventually(lambda: "waiting for it to finish" in running.err(), 20), running.err()
        running.send(signal.SIGINT)
        said = running.wait(20)
        assert said.code == 125 and "continues to take it down" in said.err, said
        assert processes.ids(), "not while somebody else works on it"
    assert eventually(lambda: not attached(processes), PATIENCE) is True and processes.left() == []


@pytest.mark.parametrize("engine", [pytest.param("docker", marks=pytest.mark.docker)], indirect=True)
def test_containers_too(small: Small) -> None:
    first, second = ports.free(2)
    box = small(services(first, second), ports=(first, second))
    running = box.start("run", "--", "sh", "-c", "echo here; sleep 60")
    moment = random.choice(["while it comes up", "while the command runs"])
    if moment == "while it comes up":
        assert eventually(lambda: "cache" in box.ids(), 60), running.err()
    else:
        assert eventually(lambda: "here" in running.out(), 120), running.err()
    killed(box, running)


@pytest.mark.kind
@pytest.mark.parametrize("engine", [pytest.param("docker", marks=pytest.mark.docker)], indirect=True)
def test_a_cluster_in_the_making_too(small: Small) -> None:
    box = small("extends: base\nservices: {migrate: null, datastorage: null, redis: null, postgres: null}")
    running = box.start("run", "--", "true")
    assert eventually(lambda: "cluster" in box.ids(), 60), running.err()
    time.sleep(random.uniform(0, 6))
    volumes = box.engine.volumes_of(box.name)
    killed(box, running)
    assert volumes and box.left(volumes) == []
    assert eventually(lambda: not kinds(box.name), 5), "kind outlives who started it"


def kinds(name: str) -> list[str]:
    """Return kind's processes for this environment."""
    words = (" ".join(it.info["cmdline"] or ()) for it in psutil.process_iter(["cmdline"]))
    return [line for line in words if "kind" in line and f"envkit-{name}" in line]
