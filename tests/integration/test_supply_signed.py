"""Tests with real apt, a signed repository on 127.0.0.1, and a proxy that truncates or changes its answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from envkit.base.waiting import Cancel
from envkit.drivers.supply.binaries.catalog import SUPPLIES
from envkit.drivers.supply.binaries.debian import FromPackages
from envkit.drivers.supply.binaries.go_build import FromSource, _Tree
from envkit.drivers.supply.binaries.models import Host, Name, Rejected, Version, Wanted
from envkit.drivers.supply.binaries.sources import Fetcher, Job
from tests.datastorage.binaries import find as servers
from tests.support.debian import SPOILS, TOOLS, Repository, repository

pytestmark = pytest.mark.integration


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Repository]:
    missing = [tool for tool in ("apt-get", "dpkg-deb", "gpg", "gpgconf") if not shutil.which(tool)]
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"this system has no {missing[0]}")
    with repository(tmp_path / "debian") as it:
        yield it


def get(debian: Repository, home: Path, name: Name, fetcher: Fetcher) -> Path:
    """Return the folder that the fetcher filled, whatever programs this host has."""
    supply = SUPPLIES[name]
    job = Job(
        Wanted(name), supply, supply.programs, debian.environ(home), Host("linux", "amd64"), home / "work",
        home / "shared", print, Cancel(),
    )  # fmt: skip
    fetcher.key(job)
    fetcher.fetch(job, home / "made")
    return home / "made"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_what_the_signed_lists_name_is_unpacked(debian: Repository, home: Path) -> None:
    assert (get(debian, home, "etcd", FromPackages()) / "usr" / "bin" / "etcd").is_file()


@pytest.mark.parametrize("how", SPOILS)
def test_a_package_that_was_spoilt_on_its_way_is_not_unpacked(debian: Repository, home: Path, how: str) -> None:
    debian.proxy.suffix, debian.proxy.spoil = ".deb", SPOILS[how]
    with pytest.raises(Rejected, match=r"^apt-get download ended with 100: E: "):
        get(debian, home, "etcd", FromPackages())
    assert not list((home / "made").rglob("etcd"))


@pytest.mark.parametrize("how", SPOILS)
def test_a_source_archive_that_was_spoilt_on_its_way_is_not_compiled(
    debian: Repository, home: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[Path] = []
    monkeypatch.setattr(_Tree, "_unpack", lambda _, archive: unpacked.append(archive))
    debian.proxy.suffix, debian.proxy.spoil = ".orig.tar.gz", SPOILS[how]
    with pytest.raises(Rejected, match=r"^apt-get source ended with 100: E: "):
        get(debian, home, "kubernetes", FromSource())
    assert unpacked == []


def test_an_archive_that_came_whole_is_the_one_that_is_unpacked(
    debian: Repository, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: _Tree, archive: Path) -> None:
        raise Rejected(f"as far as this test goes: {archive.name}")

    monkeypatch.setattr(_Tree, "_unpack", stop)
    monkeypatch.setattr("envkit.drivers.supply.binaries.apt.Apt.unpack_alone", lambda *_: None)
    with pytest.raises(Rejected, match=r"as far as this test goes: kubernetes_1\.20\.5\+really1\.20\.2\.orig"):
        get(debian, home, "kubernetes", FromSource())


def test_a_mirror_without_debians_own_part_serves(
    debian: Repository, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (debian.folder / "pool").glob("*.dsc"):
        path.unlink()
    test_an_archive_that_came_whole_is_the_one_that_is_unpacked(debian, home, monkeypatch)


def test_lists_that_were_changed_after_they_were_signed_are_not_believed(debian: Repository, home: Path) -> None:
    for path in (debian.folder / "dists").rglob("Packages"):
        path.write_text(path.read_text().replace("3.4.23", "9.9.99"))
    with pytest.raises(Rejected, match="no package lists could be fetched"):
        get(debian, home, "etcd", FromPackages())


def test_a_repository_that_nobody_signed_is_not_believed(debian: Repository, home: Path) -> None:
    signed = debian.folder / "dists" / "stable" / "InRelease"
    text = signed.read_text().split("-----BEGIN PGP SIGNATURE")[0].partition("\n\n")[2]
    signed.unlink()
    (signed.parent / "Release").write_text(text)
    with pytest.raises(Rejected, match="no package lists could be fetched"):
        get(debian, home, "etcd", FromPackages())


PREPARE = """
set -euo pipefail
for part in common apt; do . {lib}/$part.sh; done
side apt-get -qq update
fetch_source kubernetes/stable {folder}
"""


def prepare(debian: Repository, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the steps of tests/host/prepare for a source package; the test's repository replaces Debian's mirror."""
    lib = Path(__file__).parents[1] / "host" / "lib"
    root = home / "cache" / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (root / folder).mkdir(parents=True)
    deb = debian.config.with_name("sources.list").read_text()
    (root / "sources.list").write_text(deb + deb.replace("deb ", "deb-src ", 1))
    (root / "complete").touch()
    script = PREPARE.format(lib=lib, folder=home / "made")
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=120, cwd=home,
        env=debian.environ(home) | {"ENVKIT_HOST_CACHE": str(home / "cache"), "LC_ALL": "C"},
    )  # fmt: skip


def test_the_preparation_of_a_host_unpacks_what_the_lists_name(debian: Repository, home: Path) -> None:
    done = prepare(debian, home)
    assert done.returncode == 0, done.stderr
    assert (home / "made" / "cmd" / "kube-apiserver" / "apiserver.go").is_file()


@pytest.mark.parametrize("how", SPOILS)
def test_the_preparation_of_a_host_compiles_no_spoilt_source(debian: Repository, home: Path, how: str) -> None:
    debian.proxy.suffix, debian.proxy.spoil = ".orig.tar.gz", SPOILS[how]
    done = prepare(debian, home)
    assert done.returncode != 0 and "the source package kubernetes/stable cannot be downloaded" in done.stderr, (
        done.stderr
    )
    assert not (home / "made").exists()


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a folder that the servers' user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="envkit-supply-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_package_that_is_half_there_is_unpacked_whole(
    debian: Repository, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dpkg reports `redis-tools` as installed, and `redis-server` is a link to a program of that package."""
    debian.install(TOOLS)
    for name, value in debian.environ(place).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("envkit.drivers.supply.binaries.resolve.fetchers_of", lambda _supply: [FromPackages()])
    found = servers()
    assert found.servers["redis"].version.at_least(Version((7,)))
    done = subprocess.run([found.redis, "--version"], check=True, capture_output=True, text=True, timeout=30)
    assert "v=7" in done.stdout


def test_a_set_of_packages_of_which_one_is_missing_leaves_nothing(debian: Repository, home: Path) -> None:
    (lost,) = (debian.folder / "pool").glob("redis-tools_*")
    aside = lost.rename(lost.with_suffix(".aside"))
    with pytest.raises(Rejected, match="apt-get download ended with 100"):
        get(debian, home, "redis", FromPackages())
    assert not list((home / "made").rglob("redis-*"))
    aside.rename(lost)
    assert (get(debian, home, "redis", FromPackages()) / "usr" / "bin" / "redis-server").is_file()
