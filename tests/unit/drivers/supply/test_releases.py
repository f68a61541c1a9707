"""Tests of the official releases, from a loopback server with their layout."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from envkit.base.waiting import Cancel
from envkit.drivers.supply.binaries import BinaryUnavailable, Found, Host, Version, Wanted, ensure
from envkit.drivers.supply.binaries.catalog import ETCD, KUBERNETES
from envkit.drivers.supply.binaries.download import Http
from envkit.drivers.supply.binaries.models import Rejected
from envkit.drivers.supply.binaries.pins import RELEASES, Digests
from envkit.drivers.supply.binaries.releases import MIRRORS, EtcdRelease, KubernetesRelease, mirror
from envkit.drivers.supply.binaries.renewing import digest_of
from envkit.drivers.supply.binaries.sources import Fetcher
from tests.unit.drivers.supply.test_fake_supply import LINUX, NOWHERE, Site, environ, script, serving, sha256, tarball

KUBE = ("kube-apiserver", "kube-controller-manager", "kubectl")
MAC = Host("darwin", "arm64")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Yield a server; the repository's digests are those of the files passed to `know`."""
    known = tmp_path / "releases.txt"
    known.write_text("# digests\n")
    monkeypatch.setattr("envkit.drivers.supply.binaries.pins.RELEASES", known)
    with serving(Site()) as it:
        yield it


def know(tmp_path: Path, site: Site) -> None:
    with (tmp_path / "releases.txt").open("a") as file:
        file.writelines(f"{sha256(content)}  {path[1:]}\n" for path, content in site.files.items())


def get(tmp_path: Path, site: Site, wanted: Wanted, fetcher: Fetcher, host: Host = LINUX, **more: str) -> Found:
    variables = {**dict.fromkeys(MIRRORS, site.base), "PATH": "/usr/bin:/bin", **more}
    return ensure(
        wanted, environ(tmp_path, **variables), tmp_path / "cache", report=print, cancel=Cancel(),
        fetchers=[fetcher], host=host, root=NOWHERE,
    )  # fmt: skip


def etcd(site: Site, version: str, host: Host = LINUX) -> None:
    name = f"etcd-v{version}-{host}"
    text = script(version, "etcd")
    if host.os == "darwin":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as bundle:
            bundle.writestr(f"{name}/etcd", text)
        archive, content = f"{name}.zip", buffer.getvalue()
    else:
        archive, content = f"{name}.tar.gz", tarball({f"{name}/README.md": "x", f"{name}/etcd": text})
    site.files[f"/v{version}/{archive}"] = content


def kubernetes(site: Site, version: str, *programs: str) -> None:
    for program in programs or KUBE:
        content = script(version, program).encode()
        path = f"/v{version}/bin/linux/amd64/{program}"
        site.files[path] = content


@pytest.mark.parametrize("host", [LINUX, Host("linux", "arm64"), MAC])
def test_etcds_archive(tmp_path: Path, site: Site, host: Host) -> None:
    etcd(site, "3.5.21", host)
    know(tmp_path, site)
    found = get(tmp_path, site, Wanted("etcd"), EtcdRelease(), host)
    assert (str(found.version), found.source) == ("3.5.21", "envkit's cache (official release)")
    left = list((tmp_path / "cache" / "binaries" / "etcd" / ".work").iterdir())
    assert left == [], "the archive is not kept"


def test_a_newer_minimum_that_names_a_release_is_fetched_instead(tmp_path: Path, site: Site) -> None:
    etcd(site, "3.6.4")
    know(tmp_path, site)
    assert str(get(tmp_path, site, Wanted("etcd", minimum=Version((3, 6, 4))), EtcdRelease()).version) == "3.6.4"


def test_a_newer_minimum_that_names_none_is_refused_before_anything_is_fetched(tmp_path: Path, site: Site) -> None:
    with pytest.raises(BinaryUnavailable, match=r"official release: the version to fetch is 3\.5\.21, older than 4"):
        get(tmp_path, site, Wanted("etcd", minimum=Version((4,))), EtcdRelease())
    assert site.asked == []


def test_an_archive_that_was_changed_on_its_way_is_refused(tmp_path: Path, site: Site) -> None:
    etcd(site, "3.5.21")
    know(tmp_path, site)
    site.files["/v3.5.21/etcd-v3.5.21-linux-amd64.tar.gz"] += b"!"
    with pytest.raises(BinaryUnavailable, match="does not have the known digest: expected sha256"):
        get(tmp_path, site, Wanted("etcd"), EtcdRelease(Http({}, patience=0.2, first_pause=0.01)))


def test_kubernetes_is_one_set(tmp_path: Path, site: Site) -> None:
    kubernetes(site, "1.34.1")
    know(tmp_path, site)
    found = get(tmp_path, site, Wanted("kubernetes"), KubernetesRelease())
    assert (str(found.version), set(found.programs), found.missing) == ("1.34.1", set(KUBE), ())


def test_a_minor_version_becomes_its_newest_known_patch(tmp_path: Path, site: Site) -> None:
    for version in ("1.33.7", "1.33.10", "1.34.1"):
        kubernetes(site, version)
    know(tmp_path, site)
    found = get(tmp_path, site, Wanted("kubernetes", version=Version((1, 33))), KubernetesRelease())
    assert str(found.version) == "1.33.10"


def test_a_release_without_one_of_the_programs_is_not_used_in_part(tmp_path: Path, site: Site) -> None:
    kubernetes(site, "1.34.1")
    know(tmp_path, site)
    del site.files["/v1.34.1/bin/linux/amd64/kubectl"]
    with pytest.raises(BinaryUnavailable, match="the server answers 404"):
        get(tmp_path, site, Wanted("kubernetes"), KubernetesRelease())


def test_macos_has_envtests_archive_and_no_controller_manager(tmp_path: Path, site: Site) -> None:
    programs = {f"controller-tools/envtest/{name}": script("1.34.1", name) for name in (*KUBE[::2], "etcd")}
    content = tarball(programs)
    path = "/envtest-v1.34.1/envtest-v1.34.1-darwin-arm64.tar.gz"
    site.files[path] = content
    know(tmp_path, site)
    found = get(tmp_path, site, Wanted("kubernetes"), KubernetesRelease(), MAC)
    assert (set(found.programs), found.missing) == ({"kube-apiserver", "kubectl"}, ("kube-controller-manager",))


def test_only_what_is_missing_is_fetched(tmp_path: Path, site: Site) -> None:
    kubernetes(site, "1.33.0", "kube-controller-manager")
    know(tmp_path, site)
    from tests.unit.drivers.supply.test_fake_supply import put

    folder = put(tmp_path / "assets", "kube-apiserver", "kubectl", version="1.33.0")
    found = get(tmp_path, site, Wanted("kubernetes"), KubernetesRelease(), KUBEBUILDER_ASSETS=str(folder))
    assert found.missing == ()


def test_offline_is_said_at_once(tmp_path: Path) -> None:
    offline = Site(base="http://envkit.invalid")
    with pytest.raises(BinaryUnavailable, match=r"envkit\.invalid cannot be reached: its name does not resolve"):
        get(tmp_path, offline, Wanted("kubernetes"), KubernetesRelease())


def test_the_addresses_can_be_replaced_by_those_of_a_mirror() -> None:
    assert mirror("ENVKIT_MIRROR_ETCD", {}) == MIRRORS["ENVKIT_MIRROR_ETCD"]
    assert mirror("ENVKIT_MIRROR_ETCD", {"ENVKIT_MIRROR_ETCD": "https://mirror.example/etcd/"}) == (
        "https://mirror.example/etcd"
    )


def test_a_version_whose_digests_are_not_known_is_not_run(tmp_path: Path, site: Site) -> None:
    kubernetes(site, "1.33.9")
    with pytest.raises(BinaryUnavailable, match=r"no digest of v1\.33\.9/bin/linux/amd64/kube-apiserver is known"):
        get(tmp_path, site, Wanted("kubernetes", version=Version((1, 33, 9))), KubernetesRelease())
    with pytest.raises(BinaryUnavailable, match=r"no digest of a release 1\.33 is known: configure a full version"):
        get(tmp_path, site, Wanted("kubernetes", version=Version((1, 33))), KubernetesRelease())
    assert site.asked == []


@pytest.mark.parametrize("version", [(1, 33, 9), (1, 33)])
def test_digests_of_other_versions_are_read_from_a_file(tmp_path: Path, site: Site, version: tuple[int, ...]) -> None:
    kubernetes(site, "1.33.9")
    mine = tmp_path / "mine"
    mine.write_text("".join(f"{sha256(content)} *{path[1:]}\n" for path, content in site.files.items()))
    wanted = Wanted("kubernetes", version=Version(version))
    found = get(tmp_path, site, wanted, KubernetesRelease(), ENVKIT_DIGESTS=str(mine))
    assert str(found.version) == "1.33.9"


def test_what_the_repository_knows_cannot_be_replaced(tmp_path: Path, site: Site) -> None:
    etcd(site, "3.5.21")
    know(tmp_path, site)
    path = "/v3.5.21/etcd-v3.5.21-linux-amd64.tar.gz"
    site.files[path] += b"!"
    mine = tmp_path / "mine"
    mine.write_text(f"{sha256(site.files[path])}  {path[1:]}\n")
    with pytest.raises(BinaryUnavailable, match="does not have the known digest"):
        get(tmp_path, site, Wanted("etcd"), EtcdRelease(Http({}, patience=0.2, first_pause=0.01)),
            ENVKIT_DIGESTS=str(mine))  # fmt: skip


@pytest.mark.parametrize("text", ["nothing", "12ab  v1.33.9/bin/linux/amd64/kubectl", "z" * 64 + "  x"])
def test_a_file_of_digests_that_is_none_is_said(tmp_path: Path, site: Site, text: str) -> None:
    (tmp_path / "mine").write_text(text)
    with pytest.raises(BinaryUnavailable, match="expected a line such as"):
        get(tmp_path, site, Wanted("etcd"), EtcdRelease(), ENVKIT_DIGESTS=str(tmp_path / "mine"))


def test_a_mirror_may_be_a_folder(tmp_path: Path, site: Site) -> None:
    etcd(site, "3.5.21")
    know(tmp_path, site)
    for path, content in site.files.items():
        (tmp_path / "mirror" / path[1:]).parent.mkdir(parents=True)
        (tmp_path / "mirror" / path[1:]).write_bytes(content)
    folder = (tmp_path / "mirror").as_uri()
    assert str(get(tmp_path, site, Wanted("etcd"), EtcdRelease(), ENVKIT_MIRROR_ETCD=folder).version) == "3.5.21"
    assert site.asked == []


def test_a_spoilt_file_of_a_folder_is_refused(tmp_path: Path, site: Site) -> None:
    etcd(site, "3.5.21")
    know(tmp_path, site)
    for path in site.files:
        (tmp_path / "mirror" / path[1:]).parent.mkdir(parents=True)
        (tmp_path / "mirror" / path[1:]).write_bytes(b"something else")
    folder = (tmp_path / "mirror").as_uri()
    with pytest.raises(BinaryUnavailable, match="does not have the known digest"):
        get(tmp_path, site, Wanted("etcd"), EtcdRelease(), ENVKIT_MIRROR_ETCD=folder)


def test_other_addresses_of_mirrors_are_refused(tmp_path: Path, site: Site) -> None:
    etcd(site, "3.5.21")
    know(tmp_path, site)
    with pytest.raises(BinaryUnavailable, match="Not supported URL scheme ftp"):
        get(tmp_path, site, Wanted("etcd"), EtcdRelease(), ENVKIT_MIRROR_ETCD="ftp://127.0.0.1")


def test_a_forged_release_with_forged_digests_beside_it_is_refused(tmp_path: Path) -> None:
    """The repository's digests are valid; the server sends other files with matching checksums of their own."""
    with serving(Site()) as forged:
        etcd(forged, "3.5.21")
        name = "etcd-v3.5.21-linux-amd64.tar.gz"
        sums = f"{sha256(forged.files[f'/v3.5.21/{name}'])}  {name}\n"
        forged.files["/v3.5.21/SHA256SUMS"] = sums.encode()
        with pytest.raises(BinaryUnavailable, match="does not have the known digest: expected sha256 adddda4b"):
            get(tmp_path, forged, Wanted("etcd"), EtcdRelease(Http({}, patience=0.2, first_pause=0.01)))


def test_the_repository_knows_what_the_catalogue_names() -> None:
    digests = Digests.of({})
    for arch in ("amd64", "arm64"):
        digests.of_file(f"v{ETCD.release}/etcd-v{ETCD.release}-linux-{arch}.tar.gz")
        for program in KUBERNETES.programs:
            digests.of_file(f"v{KUBERNETES.release}/bin/linux/{arch}/{program}")
        path = f"envtest-v{KUBERNETES.release}/envtest-v{KUBERNETES.release}-darwin-{arch}.tar.gz"
        assert digests.of_file(path).algorithm == "sha512"
    assert RELEASES.read_text().startswith("# 20"), "the day when it was made"


@pytest.mark.parametrize(
    "published", ["{d}", "{d}\n", "{d}  etcd.tar.gz\n", "{d} *etcd.tar.gz", "{z}  a\n{d}  etcd.tar.gz"]
)
def test_the_ways_to_publish_a_digest(published: str) -> None:
    text = published.format(d="A" * 64, z="0" * 64)
    assert digest_of("etcd.tar.gz", text, "sha256").value == "a" * 64


@pytest.mark.parametrize(
    "published", ["", "<html>not found</html>", "short  etcd.tar.gz", "0" * 64 + "  a\n" + "1" * 64 + "  b"]
)
def test_what_is_no_digest_is_refused(published: str) -> None:
    with pytest.raises(Rejected, match="sha256"):
        digest_of("etcd.tar.gz", published, "sha256")
