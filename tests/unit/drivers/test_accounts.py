"""Tests of the service users: each service gets an unused uid and returns it when its folder is removed."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from envkit.base.errors import EnvironmentFailed
from envkit.drivers import accounts


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as root with a temporary registry, id maps and user database; no process runs under any of the uids."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(accounts, "REGISTRY", tmp_path / "registry")
    monkeypatch.setattr(accounts, "WINDOW", range(1_000_000, 1_000_003))
    monkeypatch.setattr(accounts, "_running", lambda: [])
    monkeypatch.setattr(accounts, "DELEGATED", (str(tmp_path / "subuid"),))
    mapped(tmp_path, monkeypatch, "0 0 4294967295")


def mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "map").write_text(text + "\n")
    monkeypatch.setattr(accounts, "MAPS", (str(tmp_path / "map"),))


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir(exist_ok=True)
    return made


def number(place: Path) -> int:
    account = accounts.take(place)
    assert account is not None and account.uid == account.gid
    return account.uid


def test_nobody_has_the_numbers_that_a_host_gives() -> None:
    window = range(1_900_000_000, 2_000_000_000)
    assert not [entry for entry in pwd.getpwall() if entry.pw_uid in window]
    assert window.stop < 2**31


def test_each_folder_has_its_own_number_and_the_same_one_again(tmp_path: Path) -> None:
    places = [folder(tmp_path, name) for name in ("a", "b", "c")]

    taken = [number(place) for place in places]

    assert sorted(taken) == [1_000_000, 1_000_001, 1_000_002]
    assert [number(place) for place in places] == taken
    assert oct((tmp_path / "registry").stat().st_mode & 0o777) == "0o700"


def test_a_number_is_free_again_when_it_was_given_back_or_its_folder_is_gone(tmp_path: Path) -> None:
    places = [folder(tmp_path, name) for name in ("a", "b", "c")]
    taken = [number(place) for place in places]
    with pytest.raises(EnvironmentFailed, match="every uid from 1000000 to 1000002 is in use"):
        accounts.take(folder(tmp_path, "d"))

    accounts.give_back(places[0])
    assert number(folder(tmp_path, "d")) == taken[0]
    places[1].rmdir()
    assert number(folder(tmp_path, "e")) == taken[1]


def test_a_number_that_a_process_runs_with_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = number(folder(tmp_path, "a"))
    accounts.give_back(tmp_path / "a")
    monkeypatch.setattr(accounts, "_running", lambda: [(7, {first})])

    assert number(tmp_path / "a") != first


def test_numbers_of_the_user_database_and_of_containers_are_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getpwuid(uid: int) -> pwd.struct_passwd:
        if uid == 1_000_001:
            return pwd.struct_passwd(("somebody", "x", uid, uid, "", "/", "/bin/sh"))
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    (tmp_path / "subuid").write_text("me:999999:2\nbroken\n")

    assert number(folder(tmp_path, "a")) == 1_000_002


def test_the_processes_of_a_number_are_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(tmp_path, "a")
    uid = number(place)
    monkeypatch.setattr(accounts, "_running", lambda: [(7, {uid}), (8, {0}), (9, {0, uid})])

    assert accounts.processes_of(place) == {7, 9}
    assert accounts.processes_of(tmp_path / "other") == set()


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("0 0 4294967295", range(1_000_000, 1_000_003)),
        ("0 1000 1\n1 100000 65536", range(45_537, 65_537)),
        ("0 1000 1\n1 100000 2000", range(1000, 2001)),
        ("0 1000 1", None),
    ],
)
def test_numbers_are_such_as_the_user_namespace_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, window: range | None
) -> None:
    mapped(tmp_path, monkeypatch, text)

    assert accounts.available() == bool(window)
    assert accounts.anybody() == (window[0] if window else None)
    taken = accounts.take(folder(tmp_path, "a"))
    assert taken is None if window is None else taken is not None and taken.uid in window


def test_who_is_not_root_has_no_numbers_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)

    assert (accounts.take(tmp_path), accounts.anybody(), accounts.processes_of(tmp_path)) == (None, None, set())
    accounts.give_back(tmp_path)
    assert not (tmp_path / "registry").exists()


def test_a_registry_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(accounts, "REGISTRY", tmp_path / "file/accounts")

    with pytest.raises(EnvironmentFailed, match=r"file/accounts cannot be written"):
        accounts.take(tmp_path)


def entry(name: str, uid: int, shell: str = "/usr/sbin/nologin") -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, uid, "", "/", shell))


def test_initdb_has_a_name_that_nothing_else_runs_as(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        entry("root", 0, "/bin/sh"), entry("postgres", 101), entry("sync", 4, "/bin/sync"), entry("mail", 8),
        entry("games", 5, "/bin/false"), entry("nobody", 65534),
    ]  # fmt: skip
    monkeypatch.setattr(pwd, "getpwall", lambda: entries)
    monkeypatch.setattr(accounts, "_running", lambda: [(7, {8})])

    assert accounts.named() == accounts.Account(5, 5)
    del entries[4]
    with pytest.raises(EnvironmentFailed, match="initdb refuses to run as root"):
        accounts.named()
