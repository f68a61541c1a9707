"""Tests of control groups on plain folders that imitate them, and of the shared memory of a killed PostgreSQL."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from envkit.drivers.runtimes import limits, shared_memory

MIB = 2**20


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for groups with the layout of a cgroup v1 host."""
    (tmp_path / "memory.limit_in_bytes").touch()
    monkeypatch.setattr(limits, "_V1", tmp_path)
    return tmp_path


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the removal of groups, so that fake groups keep their files; only a kernel would write them again."""
    monkeypatch.setattr(limits, "remove", lambda _folder: False)


def test_each_service_has_a_group_of_a_name_that_is_nobody_elses(home: Path) -> None:
    assert limits.group("a-b", "c", "k") == home / "envkit-a-b.c.k"
    assert limits.group("a", "b-c", "k") == home / "envkit-a.b-c.k"


def test_all_groups_of_one_environment_and_of_no_other(home: Path) -> None:
    others = ("envkit-a-b.redis.k", "envkit-ab.redis.k", "envkit-a.redis.another", "envkit-a.k", "other")
    for name in ("envkit-a.redis.k", "envkit-a.web.k", *others):
        (home / name).mkdir()

    assert [group.name for group in limits.groups("a", "k")] == ["envkit-a.redis.k", "envkit-a.web.k"]


def test_where_no_group_may_be_made_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_V1", tmp_path / "nothing")
    monkeypatch.setattr(limits, "_V2", tmp_path / "nothing")

    assert limits.group("a", "b", "k") is None
    assert limits.groups("a", "k") == []


@pytest.mark.usefixtures("kernel")
def test_a_limit_in_the_words_of_v1(tmp_path: Path) -> None:
    (tmp_path / "memory.limit_in_bytes").touch()

    assert limits.confine(tmp_path, 42, 64 * MIB)

    for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        assert (tmp_path / name).read_text() == str(64 * MIB)
    assert (tmp_path / "cgroup.procs").read_text() == "42"
    assert limits.confined(tmp_path) == str(64 * MIB)


@pytest.mark.usefixtures("kernel")
def test_a_limit_in_the_words_of_v2(tmp_path: Path) -> None:
    assert limits.confine(tmp_path, 42, 64 * MIB)

    assert (tmp_path / "memory.max").read_text() == str(64 * MIB)
    assert (tmp_path / "memory.swap.max").read_text() == "0"
    assert limits.confined(tmp_path) == str(64 * MIB)


def test_a_limit_that_cannot_be_set_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    assert not limits.confine(tmp_path / "no/such/place", 42, 64 * MIB)
    assert limits.confined(tmp_path / "no") is None


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", True),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", False),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", False),
        ("memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n", True),
        ("memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 0\n", False),
        ("something", "", False),
    ],
)
def test_whether_the_kernel_killed_for_want_of_memory(tmp_path: Path, name: str, text: str, expected: bool) -> None:
    (tmp_path / name).write_text(text)

    assert limits.ran_out(tmp_path) is expected


def test_a_group_is_removed_once_its_last_process_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group, tries = tmp_path / "group", []
    group.mkdir()
    rmdir = Path.rmdir

    def busy(path: Path) -> None:
        tries.append(path)
        if len(tries) < 3:
            raise OSError(errno.EBUSY, "busy")
        rmdir(path)

    monkeypatch.setattr(Path, "rmdir", busy)

    assert limits.remove(group)
    assert limits.remove(group), "gone is fine"
    assert not group.exists()


def test_a_group_that_is_never_let_go_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_path: Path) -> None:
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(Path, "rmdir", busy)
    monkeypatch.setattr(limits, "HELD", 0.05)

    assert not limits.remove(tmp_path)


# Shared memory

TABLE = """       key      shmid perms                  size  cpid  lpid nattch   uid   gid
   2752961      65536   600                    56 26641 26663      0  {user}     0
  -2752962      65537   600                    56 26641 26663      0  {user}     0
   2319777     196609   600                    56 24297 24305      6  {user}     0
   2319778     196610   600                    56 24297 24305      0 12345     0
"""
PID_FILE = "42\n/data\n1763635000\n20437\n\n127.0.0.1\n{}\nready\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  2752961     65536", {(2752961, 65536)}),
        (f"{2**32 - 2752962} 65537", {(2**32 - 2752962, 65537)}),
        ("2319777 196609", None),
        ("2752961 65537", None),
        ("2319778 196610", None),
        ("", None),
        ("a b", None),
    ],
    ids=["left", "its key has no sign here", "in use", "another's", "another user's", "none", "nonsense"],
)
def test_only_a_segment_that_nobody_uses_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: object
) -> None:
    removed: list[int] = []

    class Library:
        def shmctl(self, segment: int, command: int, _nothing: None) -> int:
            assert command == 0
            removed.append(segment)
            return 0

    (tmp_path / "table").write_text(TABLE.format(user=os.getuid()))
    (tmp_path / "postmaster.pid").write_text(PID_FILE.format(line))
    monkeypatch.setattr(shared_memory, "_TABLE", tmp_path / "table")
    monkeypatch.setattr("ctypes.CDLL", lambda _name: Library())

    assert shared_memory.forget(tmp_path) is bool(expected)
    assert removed == ([int(line.split()[1])] if expected else [])


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_the_service_put_in_the_files_place_is_not_followed_or_waited_for(tmp_path: Path, kind: str) -> None:
    (tmp_path / "real").write_text(PID_FILE.format("2752961 65536"))
    if kind == "link":
        (tmp_path / "postmaster.pid").symlink_to(tmp_path / "real")
    else:
        os.mkfifo(tmp_path / "postmaster.pid")

    assert not shared_memory.forget(tmp_path)
    assert shared_memory.owner(tmp_path) == set()


def test_data_of_another_kind_has_no_segment_and_no_server(tmp_path: Path) -> None:
    for data in (tmp_path, tmp_path / "nothing"):
        assert not shared_memory.forget(data)
        assert shared_memory.owner(data) == set()


def test_the_server_of_a_data_directory_is_known_by_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "postmaster.pid").write_text(PID_FILE.format("0 0"))

    assert shared_memory.owner(tmp_path) == {int(PID_FILE.splitlines()[0])}
