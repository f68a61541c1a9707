"""Tests of the record, which is a cache: envkit reads back what it wrote and ignores any other content."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from envkit.base.paths import Paths, cache_home, state_home, write_private
from envkit.inventory import state

RECORD = state.Record(
    name="t",
    root="/here",
    files=("/here/envkit.yaml",),
    engine="podman",
    engine_url="unix:///run/podman/podman.sock",
    lane="containers",
    variables={"A": "1", "B": "k€y\n"},
    ports={"db.main": 5432},
    done={"migrations": "f"},
    tokens=(
        state.Renewal("reader", "default", "reader", 3600, ("api", "other"), "TOKEN"),
        state.Renewal("x", "y", "z", 600),
    ),
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "home", "t")


def test_a_record_comes_back_as_it_was_written(paths: Paths) -> None:
    state.write(paths, RECORD)

    assert state.read(paths) == RECORD


def test_a_record_holds_secrets_and_is_the_users_alone(paths: Paths) -> None:
    state.write(paths, RECORD)
    state.write(paths, RECORD)

    assert stat.S_IMODE(paths.state.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.folder.stat().st_mode) == 0o700
    assert [path.name for path in paths.folder.iterdir()] == ["state.json"]


def test_no_record_is_none(paths: Paths) -> None:
    assert state.read(paths) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", "3", '"x"', "{}", '{"schema": 1}', '{"schema": 0, "name": "t", "root": "/"}',
        '{"schema": 2, "name": "t", "root": "/"}', '{"schema": 1, "name": "t", "root": "/", "unheard": 1}',
        '{"schema": 1, "name": "t", "root": "/", "tokens": [{"identity": "x"}]}',
        '{"schema": 1, "name": "t", "root": "/", "tokens": 5}',
        '{"schema": 1, "name": "t", "root": "/", "tokens": [{"unheard": 1, "audiences": []}]}',
    ],
)  # fmt: skip
def test_a_record_that_is_not_understood_counts_as_none(paths: Paths, text: str) -> None:
    paths.make()
    paths.state.write_text(text)

    assert state.read(paths) is None


def test_a_record_that_is_no_text_counts_as_none(paths: Paths) -> None:
    paths.make()
    paths.state.write_bytes(b"\xff\xfe\x00")

    assert state.read(paths) is None


def test_a_record_of_an_older_version_without_newer_keys_is_read(paths: Paths) -> None:
    paths.make()
    paths.state.write_text(json.dumps({"schema": state.SCHEMA, "name": "t", "root": "/here", "variables": {"A": "1"}}))

    record = state.read(paths)

    assert record is not None
    assert (record.variables, record.ports, record.tokens) == ({"A": "1"}, {}, ())


def test_writing_replaces_whole_files_only(paths: Paths) -> None:
    """A reader gets the old text or the new text; files of a killed writer do not block the next one."""
    write_private(paths.state, "old")
    reader = paths.state.open()
    for left in paths.folder.glob(".state.json.*"):
        left.unlink()

    write_private(paths.state, "new")

    with reader:
        assert reader.read() == "old"
    assert paths.state.read_text() == "new"


def test_environments_are_those_with_a_record(tmp_path: Path) -> None:
    for name in ("b", "a"):
        state.write(Paths(tmp_path, name), RECORD)
    (tmp_path / "empty").mkdir()

    assert state.names(tmp_path) == ["a", "b"]


def test_the_homes_follow_their_variables(tmp_path: Path) -> None:
    given = {"ENVKIT_STATE_DIR": str(tmp_path / "s"), "ENVKIT_CACHE_DIR": str(tmp_path / "c")}

    assert (state_home(given), cache_home(given)) == (tmp_path / "s", tmp_path / "c")
    assert state_home({}).name == "envkit"


def test_steps_that_run_side_by_side_may_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(write_private, path, "x" * 1000) for _ in range(400)]:
            done.result()

    assert path.read_text() == "x" * 1000
    assert [*tmp_path.iterdir()] == [path]
