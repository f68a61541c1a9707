"""Tests of archives from `images save`: envkit loads a complete archive or none, and installs its programs."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import Cancelled, EnvironmentFailed, UsageError
from envkit.base.waiting import Cancel
from envkit.drivers.clusters.node_image import program
from envkit.drivers.supply.archive import IMAGES, MANIFEST, Archive, packed, written
from envkit.drivers.supply.base_images import base_images
from envkit.drivers.supply.binaries import Host
from envkit.drivers.supply.binaries.store import SCHEMA
from envkit.drivers.supply.sealed import digest
from envkit.operations import program_bundle


def silent(_message: str) -> None:
    """Discard the message."""


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "all.tar"
    with written(path, silent, Cancel()) as archive:
        archive.add(IMAGES, [b"a" * 700, b"b" * 900])
        archive.add("programs/kind.tar", [b"k" * 10])
        archive.close({"envkit": "1", "host": "linux-amd64"})
    return path


def test_it_is_a_plain_tar_that_says_what_is_in_it(whole: Path) -> None:
    with tarfile.open(whole) as tar:
        assert tar.getnames() == [IMAGES, "programs/kind.tar", MANIFEST]
        assert tar.extractfile(IMAGES).read() == b"a" * 700 + b"b" * 900
    archive = Archive(whole)
    archive.verify(silent, Cancel())
    assert archive.manifest["members"][IMAGES]["size"] == 1600
    archive.close()


def cut(data: bytes) -> bytes:
    return data[:1800]


def flipped(data: bytes) -> bytes:
    return data.replace(b"ab", b"aX", 1)


def headless(data: bytes) -> bytes:
    return data[: data.index(MANIFEST.encode())] + b"\0" * 1024


@pytest.mark.parametrize("harm", [cut, flipped, headless])
def test_one_that_is_not_whole_is_refused(whole: Path, harm: Callable[[bytes], bytes]) -> None:
    whole.write_bytes(harm(whole.read_bytes()))

    with (
        pytest.raises(EnvironmentFailed, match=r"is damaged.*nothing was loaded"),
        closing(Archive(whole)) as archive,
    ):
        archive.verify(silent, Cancel())


def test_what_is_no_archive_of_ours_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with pytest.raises(UsageError, match="cannot be read"):
        Archive(path)
    path.write_bytes(b"something else" * 100)
    with pytest.raises(UsageError, match="is no archive of `images save`"):
        Archive(path)
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("manifest.json"))
    with pytest.raises(UsageError, match=r"it has no envkit\.json") as caught:
        Archive(path)
    assert "docker load" in caught.value.hint


def test_one_of_another_schema_names_the_envkit_that_saved_it(tmp_path: Path) -> None:
    path, text = tmp_path / "x.tar", json.dumps({"schema": 9, "envkit": "7.1"}).encode()
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))

    with pytest.raises(UsageError, match=r"saved by envkit 7\.1, schema 9"):
        Archive(path)


def test_a_cancelled_one_leaves_no_file(tmp_path: Path) -> None:
    cancel = Cancel()
    cancel.set()

    with pytest.raises(Cancelled), written(tmp_path / "x.tar", silent, cancel) as archive:
        archive.add(IMAGES, [b"a"])

    assert not list(tmp_path.iterdir())


# Programs


def home_in(cache: Path) -> program_bundle.Home:
    return program_bundle.Home(cache, {"ENVKIT_CACHE_DIR": str(cache)})


def with_program(folder: Path, **said: Any) -> Archive:
    tool = folder / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    row = {"name": "etcd", "version": "3.5", "room": "binaries", "entry": "saved-3.5-x", **said}
    with written(folder / "p.tar", silent, Cancel()) as archive:
        files = [("bin/etcd", tool), ("kind", tool)]
        if row["room"] == "binaries":
            record = {"schema": SCHEMA, "origin": "x", "version": "3.5", "programs": {"etcd": "bin/etcd"},
                      "libraries": [], "files": {name: digest(path) for name, path in files}}  # fmt: skip
            (folder / "manifest.json").write_text(json.dumps(record))
            files.append(("manifest.json", folder / "manifest.json"))
        archive.add("programs/etcd.tar", packed(files))
        archive.close({"host": str(Host.this()), "programs": [{**row, "member": "programs/etcd.tar"}]})
    return Archive(folder / "p.tar")


@pytest.mark.parametrize(
    ("room", "entry", "place"),
    [("binaries", "saved-3.5-x", "binaries/etcd/saved-3.5-x/bin/etcd"), ("sites", "s", "sites/s/bin/etcd"),
     ("bin", "kind", "bin/kind")],
)  # fmt: skip
def test_programs_are_put_where_they_are_looked_for_once(tmp_path: Path, room: str, entry: str, place: str) -> None:
    archive, home = with_program(tmp_path, room=room, entry=entry), home_in(tmp_path / "cache")

    first, again = (program_bundle.unpack(home, archive, silent) for _ in range(2))

    assert (first, again) == ([("etcd 3.5", "loaded")], [("etcd 3.5", "kept")])
    assert (home.cache / place).stat().st_mode & 0o777 == 0o755
    assert not list(home.cache.rglob(".*.new"))
    archive.close()


@pytest.mark.parametrize(("room", "place"), [("binaries", "binaries/etcd/x/bin/etcd"), ("sites", "sites/x/bin/etcd"),
                                             ("bin", "bin/kind")])  # fmt: skip
def test_programs_that_were_altered_since_are_put_there_anew(tmp_path: Path, room: str, place: str) -> None:
    archive, home = with_program(tmp_path, room=room, entry="x"), home_in(tmp_path / "cache")
    program_bundle.unpack(home, archive, silent)
    program = home.cache / place
    program.write_text("#!/bin/so\n")

    assert program_bundle.unpack(home, archive, silent) == [("etcd 3.5", "loaded")]
    assert program.read_text() == "#!/bin/sh\n"
    archive.close()


def test_a_loaded_kind_that_was_altered_is_not_run(tmp_path: Path) -> None:
    archive, home = with_program(tmp_path, room="bin", entry="kind"), home_in(tmp_path / "cache")
    program_bundle.unpack(home, archive, silent)
    loaded = home.cache / "bin" / "kind"
    assert program({"PATH": "/nowhere"}, home.cache) == str(loaded)
    loaded.write_text("#!/bin/so\n")
    assert program({"PATH": "/nowhere"}, home.cache) == "kind"
    archive.close()


def test_an_archive_cannot_write_elsewhere(tmp_path: Path) -> None:
    archive = with_program(tmp_path, entry="../../x")

    with pytest.raises(EnvironmentFailed, match="outside of the cache"):
        program_bundle.unpack(home_in(tmp_path / "cache"), archive, silent)
    archive.close()


# Base images of a build


def test_what_a_dockerfile_builds_on() -> None:
    text = """\
ARG BASE=python:3.12
ARG TAG
FROM --platform=linux/amd64 ${BASE} AS build
ARG BASE=late
FROM redis:${TAG:-7} AS store
FROM build
COPY --from=store /a /a
COPY --from=busybox:1 /b \\
  /b
COPY --from=0 /c /c
FROM scratch
FROM $UNKNOWN
"""
    assert base_images(text, {}) == ("python:3.12", "redis:7", "busybox:1")
    assert base_images(text, {"BASE": "debian:12", "TAG": "6"}) == ("debian:12", "redis:6", "busybox:1")
