"""Tests of `list` and `prune`: which environments exist, their state, and which of them may be removed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from envkit.base import labels
from envkit.base.errors import UsageError
from envkit.base.owner import Owner
from envkit.base.paths import Paths
from envkit.cli.output import confirmed, expiry
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes.engine_site import EngineSite
from envkit.drivers.runtimes.process_table import Stamp
from envkit.drivers.runtimes.sites import Trace
from envkit.inventory import state
from envkit.operations.list import Found, in_files, is_locked, verdict_of
from envkit.operations.prune import choose, why

DOCKER = Endpoint("docker", "unix:///run/some.sock", "0", "a test")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir()
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "checkout"
    made.mkdir()
    return made


def network(home: Path | str, root: Path | str, **fields: Any) -> Trace:
    mark = labels.home_mark(home) if isinstance(home, Path) else home
    owner = labels.owner_of({labels.HOME: mark, labels.ROOT: str(root)})
    return Trace("t", "network", "envkit-t", "docker", owner=owner, **fields)


def container(root: Path | str, **fields: Any) -> Trace:
    return Trace(
        "t", "container", "envkit-t-redis", "docker", owner=Owner(checkout=str(root)), **{"state": "running", **fields}
    )


def record(home: Path, root: Path, **fields: Any) -> None:
    state.write(Paths(home, "t"), state.Record(name="t", root=str(root), **fields))


def found(home: Path, *traces: Trace, engines: tuple[Endpoint, ...] = (DOCKER,)) -> Found:
    return verdict_of("t", traces, home, [EngineSite(engine) for engine in engines], {})


# The state of an environment


def test_a_record_whose_ports_answer_is_up(home: Path, root: Path) -> None:
    record(home, root, engine="docker", engine_url=DOCKER.url, lane="containers")
    it = found(home, network(home, root), container(root, began=5.0), container(root, began=3.0))
    assert (it.state, it.roots, it.where, it.began) == ("up", (str(root),), ("docker",), 3.0)
    assert it.record and it.record.lane == "containers"


def test_a_record_whose_port_does_not_answer_is_broken(home: Path, root: Path) -> None:
    record(home, root, ports={"redis.redis": 1})
    assert found(home, container(root)).state == "broken"


def test_things_without_a_record_are_unfinished(home: Path, root: Path) -> None:
    assert found(home, container(root)).state == "unfinished"


def test_a_record_without_things_is_gone(home: Path, root: Path) -> None:
    record(home, root)
    assert found(home, *in_files(home)).state == "gone"


def test_a_paused_part_makes_it_paused(home: Path, root: Path) -> None:
    record(home, root)
    assert found(home, container(root, state="paused"), container(root)).state == "paused"


def test_one_that_is_worked_on_is_busy(home: Path, root: Path) -> None:
    paths = Paths(home, "t")
    paths.lock.parent.mkdir()
    with FileLock(str(paths.lock)):
        # These tests need a lock of another process; within one process, a second lock object behaves the same.
        assert found(home, container(root)).state == "busy"
    assert found(home, container(root)).state == "unfinished"


def test_one_that_only_looks_is_not_taken_for_one_that_works(home: Path) -> None:
    """Regression: two concurrent `list` commands took each other for an `up`.

    The next CI job then kept an environment that it should have removed.
    """
    paths = Paths(home, "t")
    paths.lock.parent.mkdir()
    paths.lock.touch()
    stop, seen = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            seen.append(is_locked(paths))

    others = [threading.Thread(target=look) for _ in range(3)]
    for other in others:
        other.start()
    found = [is_locked(paths) for _ in range(2000)]
    stop.set()
    for other in others:
        other.join()
    assert not any(found) and not any(seen)


def test_what_an_engine_holds_that_does_not_answer_is_not_gone(home: Path, root: Path) -> None:
    record(home, root, engine="docker", engine_url=DOCKER.url)
    it = found(home, *in_files(home), engines=())
    assert it.unseen and it.state != "gone"
    assert why(it, time.time()) == ""


def test_the_record_is_read_where_the_label_says(home: Path, root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    record(elsewhere, root)
    assert found(home, network(elsewhere, root), container(root)).state == "up"
    assert found(home, network(home, root), container(root)).state == "unfinished"


def test_folders_that_outlive_environments_are_none(home: Path) -> None:
    for name in ("evidence/t", "logs/t", "runs/t", "timings", ".locks", "shop"):
        (home / name).mkdir(parents=True)
    assert [it.environment for it in in_files(home) if it.name.startswith(str(home))] == ["shop"]


# What may be removed


def test_what_is_up_stays(home: Path, root: Path) -> None:
    record(home, root)
    assert choose([found(home, network(home, root), container(root))]) == []


def test_what_is_expired_goes_and_not_before(home: Path, root: Path) -> None:
    record(home, root, expires=1000.0)
    it = found(home, network(home, root), container(root))
    assert why(it, 999.0) == ""
    assert "it expired 2 min ago" in why(it, 1120.0)
    assert "it expired 59 s ago" in why(it, 1059.0)


def test_the_records_word_on_its_end_is_newer_than_the_labels(home: Path, root: Path) -> None:
    record(home, root)
    assert found(home, network(home, root, expires=5.0)).expires == 0.0
    Paths(home, "t").state.unlink()
    assert found(home, network(home, root, expires=5.0)).expires == 5.0


def test_what_a_folder_held_that_is_gone_goes(home: Path, root: Path) -> None:
    record(home, root)
    traces = (network(home, root), container(root))
    root.rmdir()
    assert f"its folder {root} is gone" in why(found(home, *traces), time.time())


def test_remains_without_a_record_go_when_their_state_directory_is_known(home: Path, root: Path) -> None:
    assert "never came up" in why(found(home, network(home, root), container(root)), time.time())
    assert why(found(home, container(root)), time.time()) == "", "its record may be anywhere"


def test_what_another_machine_brought_up_on_this_engine_stays(home: Path) -> None:
    other = network("another-host:/home/them/state", "/home/them/checkout")
    assert why(found(home, other, container("/home/them/checkout")), time.time()) == ""
    expired = network("another-host:/home/them/state", "/home/them/checkout", expires=5.0)
    assert "it expired " in why(found(home, expired), time.time()), "its own end is for every machine"


def test_what_is_in_a_directory_that_this_user_may_not_read_stays(home: Path, root: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.write_text("what cannot be listed, for root too")
    assert why(found(home, network(closed, root), container(root)), time.time()) == ""


def test_files_of_what_is_gone_go(home: Path, root: Path) -> None:
    record(home, root)
    assert "only its files are left" in why(found(home, *in_files(home)), time.time())


def test_what_a_run_uses_stays_even_when_it_is_expired(home: Path, root: Path) -> None:
    record(home, root, expires=5.0)
    folder = home / "runs" / "t" / f"20260101-000000-{os.getpid()}"
    folder.mkdir(parents=True)
    stamp = Stamp.of(os.getpid())
    (folder / "run.json").write_text(json.dumps({"processes": [stamp.written()]}))
    it = found(home, network(home, root), container(root))
    assert it.running == f"run (pid {os.getpid()})"
    assert why(it, time.time()) == ""
    for other in (replace(stamp, boot="before"), replace(stamp, began=1.0)):
        (folder / "run.json").write_text(json.dumps({"processes": [other.written()]}))
        assert not found(home, network(home, root)).running, "the number is another process's by now"
    elsewhere = replace(stamp, pids="another", began=1.0)
    (folder / "run.json").write_text(json.dumps({"processes": [elsewhere.written()]}))
    assert found(home, network(home, root)).running, "in another PID namespace it cannot be seen"
    (folder / "run.json").write_text(json.dumps({"processes": [stamp.written()], "ended": 6.0}))
    assert why(found(home, network(home, root), container(root)), time.time())


def test_what_is_worked_on_stays(home: Path, root: Path) -> None:
    record(home, root, expires=5.0)
    paths = Paths(home, "t")
    paths.lock.parent.mkdir()
    with FileLock(str(paths.lock)):
        assert why(found(home, network(home, root)), time.time()) == ""


# Messages


def test_a_time_to_live_is_a_duration() -> None:
    assert expiry(None) == 0.0
    assert expiry("2h") == pytest.approx(time.time() + 7200, abs=60)
    with pytest.raises(UsageError, match="--ttl"):
        expiry("soon")


class Stdin:
    def __init__(self, answer: str, tty: bool = True) -> None:
        self.answer, self.tty = answer, tty

    def isatty(self) -> bool:
        return self.tty

    def readline(self) -> str:
        return self.answer


@pytest.mark.parametrize("answer", ["y\n", "Yes\n", "n\n", "\n", ""])
def test_only_a_yes_is_a_yes(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(answer))
    assert confirmed("sure?", yes=False) is (answer[:1].lower() == "y")


def test_where_nobody_can_be_asked_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Stdin("y\n", tty=False))
    assert confirmed("sure?", yes=True)
    with pytest.raises(UsageError, match="nothing was done"):
        confirmed("sure?", yes=False)


@pytest.fixture(autouse=True)
def _no_folders_of_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keep the folders of processes in the temporary state directory.

    As root they would be in a folder that this machine's environments share.
    """
    monkeypatch.setattr(Paths, "services", property(lambda self: self.folder / "services"))
    yield
