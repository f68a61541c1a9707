"""Tests of versions: how envkit parses and compares them, and that it runs a program once to get its version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envkit.drivers.supply.binaries.models import Rejected, Version
from envkit.drivers.supply.binaries.versions import Versions, version_in
from tests.unit.drivers.supply.test_fake_supply import put

PRINTED = [
    ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=fab7d4e2c9b7f4d5", "7.0.15"),
    ("redis-cli 6.2.14", "6.2.14"),
    ("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)", "15.20"),
    ("psql (PostgreSQL) 16.14", "16.14"),
    ("etcd Version: 3.4.23\nGit SHA: Not provided (use ./build instead of go build)\nGo Version: go1.19.8", "3.4.23"),
    ("Kubernetes v1.20.2", "1.20.2"),
    ("Kubernetes v1.35.0-alpha.1", "1.35.0"),
    ('Client Version: version.Info{Major:"1", Minor:"20", GitVersion:"v1.20.2", GoVersion:"go1.19.8"}', "1.20.2"),
    ("Client Version: v1.34.1\nKustomize Version: v5.7.1", "1.34.1"),
]


@pytest.mark.parametrize(("output", "expected"), PRINTED)
def test_the_version_is_read_from_what_programs_print(output: str, expected: str) -> None:
    assert str(version_in(output)) == expected


def test_without_a_version_the_output_is_in_the_error() -> None:
    with pytest.raises(ValueError, match="no version in 'hello'"):
        version_in("hello")


@pytest.mark.parametrize(
    ("mine", "minimum", "enough"),
    [("7.0.15", "7", True), ("7", "7.0", True), ("6.2.14", "7", False), ("3.10.0", "3.9", True), ("16", "16.1", False)],
)
def test_numbers_are_compared_as_numbers_and_missing_ones_as_zero(mine: str, minimum: str, enough: bool) -> None:
    assert Version.parse(mine).at_least(Version.parse(minimum)) is enough


@pytest.mark.parametrize("text", ["", "latest", "v", "-1"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a version"):
        Version.parse(text)


def asked(tmp_path: Path) -> int:
    return len((tmp_path / "count").read_text().splitlines())


def test_a_program_is_asked_once(tmp_path: Path) -> None:
    put(tmp_path, "redis-server", version="7.0.15", count=tmp_path / "count")
    for _ in range(3):
        assert str(Versions(tmp_path / "notes", os.environ).of(tmp_path / "redis-server", {})) == "7.0.15"
    assert asked(tmp_path) == 1


def test_a_changed_program_is_asked_again(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "notes", os.environ)
    for version in ("7.0.15", "8.10.1"):
        put(tmp_path, "redis-server", version=version, count=tmp_path / "count")
        assert str(versions.of(tmp_path / "redis-server", {})) == version
    assert asked(tmp_path) == 2


def test_a_link_that_points_elsewhere_now_is_asked_again(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "notes", os.environ)
    link = tmp_path / "redis-server"
    for version in ("7.0.15", "7.2.11"):
        put(tmp_path / version, "redis-server", version=version)
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / version / "redis-server")
        assert str(versions.of(link, {})) == version


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("a file where the folder should be")
    put(tmp_path, "redis-server")
    assert str(Versions(tmp_path / "notes", os.environ).of(tmp_path / "redis-server", {})) == "7.0.15"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\necho 'libssl.so.3: cannot open shared object file'\nexit 127\n", "ended with 127.*libssl.so.3"),
        ("#!/bin/sh\necho hello\n", "does not print its version"),
        ("\x7fELF\x02\x01 for another machine", "does not run here"),
        ("#!/nowhere/interpreter\n", "does not run here"),
    ],
)
def test_a_program_that_does_not_run_is_refused_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    program = tmp_path / "redis-server"
    program.write_text(text)
    program.chmod(0o755)
    with pytest.raises(Rejected, match=reason):
        Versions(tmp_path / "notes", os.environ).of(program, {})


def test_a_program_gets_the_variables_it_needs(tmp_path: Path) -> None:
    program = tmp_path / "etcd"
    program.write_text('#!/bin/sh\necho "etcd Version: $NEEDED"\n')
    program.chmod(0o755)
    assert str(Versions(tmp_path / "notes", {}).of(program, {"NEEDED": "3.5.1"})) == "3.5.1"
