"""Tests of the cache: it returns complete entries only.

Interrupted writes, truncated files and entries for another machine are not used.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from envkit.base.waiting import Cancel
from envkit.drivers.supply.binaries.models import Candidate, Host, Refusal, Rejected
from envkit.drivers.supply.binaries.store import Made, Store, binaries_home
from envkit.drivers.supply.binaries.versions import Versions
from tests.unit.drivers.supply.test_fake_supply import LINUX, put


def store(tmp_path: Path, host: Host = LINUX) -> Store:
    return Store(tmp_path / "binaries", "redis", host)


def redis(version: str) -> Callable[[Path], Made]:
    def fetch(folder: Path) -> Made:
        put(folder / "bin", "redis-server", version=version)
        return Made({"redis-server": "bin/redis-server"})

    return fetch


def make(tmp_path: Path, key: str, fetch: Callable[[Path], Made], host: Host = LINUX) -> Candidate | Refusal:
    versions = Versions(tmp_path / "notes", os.environ)
    return store(tmp_path, host).make(key, "a source", "redis-server", versions, fetch)


def listed(tmp_path: Path, host: Host = LINUX) -> list[str]:
    return [
        str(seen.version) if isinstance(seen, Candidate) else seen.reason for seen in store(tmp_path, host).candidates()
    ]


def test_an_empty_cache_says_where_it_is(tmp_path: Path) -> None:
    assert listed(tmp_path) == [f"empty ({tmp_path / 'binaries' / 'redis'})"]


def test_what_was_made_is_found_the_newest_first(tmp_path: Path) -> None:
    for version in ("7.0.15", "10.0.1", "7.2.4"):
        make(tmp_path, f"release-{version}", redis(version))
    assert listed(tmp_path) == ["10.0.1", "7.2.4", "7.0.15"]


def test_the_source_tells_the_origin(tmp_path: Path) -> None:
    made = make(tmp_path, "release-7", redis("7.0.15"))
    assert isinstance(made, Candidate) and made.source == "envkit's cache (a source)"


def test_entries_of_other_machines_are_not_looked_at(tmp_path: Path) -> None:
    make(tmp_path, "release-7", redis("7.0.15"), Host("linux", "arm64"))
    assert listed(tmp_path)[0].startswith("empty")


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fetch(folder: Path) -> Made:
        put(folder, "redis-server")
        raise Rejected("the line was cut")

    with pytest.raises(Rejected, match="the line was cut"):
        make(tmp_path, "release-7", fetch)
    assert list((tmp_path / "binaries" / "redis").iterdir()) == []


def test_a_full_disk_is_said_in_plain_words(tmp_path: Path) -> None:
    def fetch(folder: Path) -> Made:
        raise OSError(28, "No space left on device", str(folder / "redis-server"))

    with pytest.raises(Rejected, match=r"No space left on device \(.*redis-server\)"):
        make(tmp_path, "release-7", fetch)
    assert list((tmp_path / "binaries" / "redis").iterdir()) == []


def test_programs_that_do_not_run_never_become_an_entry(tmp_path: Path) -> None:
    def fetch(folder: Path) -> Made:
        (folder / "redis-server").write_text("\x7fELF for another machine")
        (folder / "redis-server").chmod(0o755)
        return Made({"redis-server": "redis-server"})

    with pytest.raises(Rejected, match="does not run here"):
        make(tmp_path, "release-7", fetch)
    assert listed(tmp_path)[0].startswith("empty")


def spoil_truncated(entry: Path) -> None:
    (entry / "bin" / "redis-server").write_text("")


def spoil_same_size(entry: Path) -> None:
    program = entry / "bin" / "redis-server"
    before = program.stat()
    program.write_bytes(program.read_bytes()[:-1] + b"#")
    os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns))


def spoil_beside(entry: Path) -> None:
    put(entry / "lib", "libjemalloc.so.2")


def spoil_link(entry: Path) -> None:
    program = entry / "bin" / "redis-server"
    program.rename(entry.parent / "elsewhere")
    program.symlink_to(entry.parent / "elsewhere")


def spoil_mode(entry: Path) -> None:
    (entry / "bin" / "redis-server").chmod(0o777)


def spoil_folder_mode(entry: Path) -> None:
    (entry / "bin").chmod(0o775)


def spoil_removed(entry: Path) -> None:
    (entry / "bin" / "redis-server").unlink()


def spoil_manifest(entry: Path) -> None:
    (entry / "manifest.json").write_text('{"schema": 1, "vers')


def spoil_manifest_kind(entry: Path) -> None:
    (entry / "manifest.json").write_text("[]")


def spoil_schema(entry: Path) -> None:
    manifest = json.loads((entry / "manifest.json").read_text())
    (entry / "manifest.json").write_text(json.dumps(manifest | {"schema": 99}))


@pytest.mark.parametrize("spoil", [
    spoil_truncated, spoil_removed, spoil_manifest, spoil_manifest_kind, spoil_schema, spoil_same_size, spoil_beside,
    spoil_link, spoil_mode, spoil_folder_mode,
])  # fmt: skip
def test_a_spoilt_entry_is_not_used_and_is_made_anew(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    make(tmp_path, "release-7", redis("7.0.15"))
    assert listed(tmp_path) == ["7.0.15"], "compared once, and remembered"
    spoil(store(tmp_path).entry("release-7"))
    assert "envkit will fetch it again" in listed(tmp_path)[0]
    make(tmp_path, "release-7", redis("7.0.15"))
    assert listed(tmp_path) == ["7.0.15"]


def test_an_entry_without_manifest_is_not_there(tmp_path: Path) -> None:
    put(store(tmp_path).entry("release-7"), "redis-server")
    assert listed(tmp_path)[0].startswith("empty")


def test_what_a_killed_fetch_left_is_removed_by_the_next_holder_of_the_lock(tmp_path: Path) -> None:
    left = put(tmp_path / "binaries" / "redis" / ".release-7-linux-amd64.4711.new", "redis-server")
    with store(tmp_path).locked(print, Cancel()):
        assert not left.exists()


def test_what_can_be_gone_on_from_is_kept(tmp_path: Path) -> None:
    work = store(tmp_path).work
    work.mkdir(parents=True)
    with store(tmp_path).locked(print, Cancel()):
        assert work.exists()


def test_others_can_run_what_root_fetched_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        made = make(tmp_path, "release-7", redis("7.0.15"))
    finally:
        os.umask(before)
    assert isinstance(made, Candidate)
    program = made.programs["redis-server"]
    for path in (program, program.parent, program.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) & 0o055 == 0o055


@pytest.mark.parametrize("umask", [0o000, 0o002])
def test_nothing_is_writable_by_others_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with store(tmp_path).locked(print, Cancel()):
            make(tmp_path, "release-7", redis("7.0.15"))
        Versions(tmp_path / "binaries" / ".versions", os.environ).of(
            store(tmp_path).entry("release-7") / "bin" / "redis-server", {}
        )
    finally:
        os.umask(before)
    assert listed(tmp_path) == ["7.0.15"]
    for path in (tmp_path / "binaries", *(tmp_path / "binaries").rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o022, path


def test_a_cache_that_others_could_write_is_emptied_and_closed(tmp_path: Path) -> None:
    make(tmp_path, "release-7", redis("7.0.15"))
    (tmp_path / "binaries" / "redis").chmod(0o777)
    assert "redis can be written by other users (mode 0777); envkit will fetch it again" in listed(tmp_path)[0]
    with store(tmp_path).locked(print, Cancel()):
        assert listed(tmp_path)[0].startswith("empty")
        make(tmp_path, "release-7", redis("7.0.15"))
    assert listed(tmp_path) == ["7.0.15"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("below", ["", "redis", "redis/release-7-linux-amd64/bin/redis-server"])
def test_what_another_user_put_there_is_not_run(tmp_path: Path, below: str) -> None:
    make(tmp_path, "release-7", redis("7.0.15"))
    assert listed(tmp_path) == ["7.0.15"]
    os.chown(tmp_path / "binaries" / below, 65534, 65534)
    assert "belongs to user 65534, not to you" in listed(tmp_path)[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_nothing_is_fetched_into_another_users_cache(tmp_path: Path) -> None:
    make(tmp_path, "release-7", redis("7.0.15"))
    os.chown(tmp_path / "binaries", 65534, 65534)
    with (
        pytest.raises(Rejected, match="belongs to user 65534, not to you: name another folder with ENVKIT_CACHE_DIR"),
        store(tmp_path).locked(print, Cancel()),
    ):
        pass


def test_the_memory_of_a_comparison_is_its_owners_alone(tmp_path: Path) -> None:
    make(tmp_path, "release-7", redis("7.0.15"))
    memo = tmp_path / "binaries" / ".verified" / "redis-release-7-linux-amd64"
    assert stat.S_IMODE(memo.stat().st_mode) == 0o600
    noted = memo.read_text()
    spoil_same_size(store(tmp_path).entry("release-7"))
    assert "has another SHA-256 than when it was fetched" in listed(tmp_path)[0]
    assert memo.read_text() == noted, "what failed is not remembered as good"


def test_root_keeps_programs_where_others_can_reach_them(tmp_path: Path) -> None:
    assert binaries_home(tmp_path, {}, 0) == Path("/var/cache/envkit/binaries")
    assert binaries_home(tmp_path, {}, 1000) == tmp_path / "binaries"
    assert binaries_home(tmp_path, {"ENVKIT_CACHE_DIR": str(tmp_path)}, 0) == tmp_path / "binaries"


def test_libraries_become_absolute(tmp_path: Path) -> None:
    def fetch(folder: Path) -> Made:
        redis("7.0.15")(folder)
        return Made({"redis-server": "bin/redis-server"}, ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))

    made = make(tmp_path, "debian", fetch)
    entry = store(tmp_path).entry("debian")
    assert isinstance(made, Candidate)
    assert made.environ == {"LD_LIBRARY_PATH": f"{entry}/usr/lib/x86_64-linux-gnu:{entry}/lib/x86_64-linux-gnu"}
