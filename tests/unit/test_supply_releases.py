"""The official releases, from a loopback server that has their layout."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from envkit.supply.binaries import BinaryUnavailable, Found, Host, Version, Wanted, ensure
from envkit.supply.binaries.download import Http
from envkit.supply.binaries.models import Unfit
from envkit.supply.binaries.releases import MIRRORS, EtcdRelease, KubernetesRelease, digest_of, mirror
from envkit.supply.binaries.sources import Fetcher
from envkit.waiting import Cancel
from tests.unit.test_supply_fakes import LINUX, NOWHERE, Site, environ, script, serving, sha256, tarball

KUBE = ("kube-apiserver", "kube-controller-manager", "kubectl")
MAC = Host("darwin", "arm64")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as it:
        yield it


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
    site.files[f"/v{version}/SHA256SUMS"] = f"{'0' * 64}  other.tar.gz\n{sha256(content)}  {archive}\n".encode()


def kubernetes(site: Site, version: str, *programs: str) -> None:
    for program in programs or KUBE:
        content = script(version, program).encode()
        path = f"/v{version}/bin/linux/amd64/{program}"
        site.files |= {path: content, f"{path}.sha256": sha256(content).encode()}


@pytest.mark.parametrize("host", [LINUX, Host("linux", "arm64"), MAC])
def test_etcds_archive(tmp_path: Path, site: Site, host: Host) -> None:
    etcd(site, "3.5.21", host)
    found = get(tmp_path, site, Wanted("etcd"), EtcdRelease(), host)
    assert (str(found.version), found.source) == ("3.5.21", "envkit's cache (official release)")
    left = list((tmp_path / "cache" / "binaries" / "etcd" / ".work").iterdir())
    assert left == [], "the archive is not kept"


def test_a_newer_minimum_that_names_a_release_is_fetched_instead(tmp_path: Path, site: Site) -> None:
    etcd(site, "3.6.4")
    assert str(get(tmp_path, site, Wanted("etcd", minimum=Version((3, 6, 4))), EtcdRelease()).version) == "3.6.4"


def test_a_newer_minimum_that_names_none_is_refused_before_anything_is_fetched(tmp_path: Path, site: Site) -> None:
    with pytest.raises(BinaryUnavailable, match=r"official release: what would be fetched is 3\.5\.21, older than 4"):
        get(tmp_path, site, Wanted("etcd", minimum=Version((4,))), EtcdRelease())
    assert site.asked == []


def test_an_archive_that_was_changed_on_its_way_is_refused(tmp_path: Path, site: Site) -> None:
    etcd(site, "3.5.21")
    site.files["/v3.5.21/etcd-v3.5.21-linux-amd64.tar.gz"] += b"!"
    with pytest.raises(BinaryUnavailable, match="does not have the published sha256"):
        get(tmp_path, site, Wanted("etcd"), EtcdRelease(Http({}, patience=0.2, first_pause=0.01)))


def test_kubernetes_is_one_set(tmp_path: Path, site: Site) -> None:
    kubernetes(site, "1.34.1")
    found = get(tmp_path, site, Wanted("kubernetes"), KubernetesRelease())
    assert (str(found.version), set(found.programs), found.missing) == ("1.34.1", set(KUBE), ())


def test_a_minor_version_becomes_its_newest_patch(tmp_path: Path, site: Site) -> None:
    kubernetes(site, "1.33.7")
    site.files["/stable-1.33.txt"] = b"v1.33.7"
    found = get(tmp_path, site, Wanted("kubernetes", version=Version((1, 33))), KubernetesRelease())
    assert str(found.version) == "1.33.7"


def test_a_release_without_one_of_the_programs_is_not_used_in_part(tmp_path: Path, site: Site) -> None:
    kubernetes(site, "1.34.1", "kube-apiserver")
    with pytest.raises(BinaryUnavailable, match="the server answers 404"):
        get(tmp_path, site, Wanted("kubernetes"), KubernetesRelease())


def test_macos_has_envtests_archive_and_no_controller_manager(tmp_path: Path, site: Site) -> None:
    import hashlib

    programs = {f"controller-tools/envtest/{name}": script("1.34.1", name) for name in (*KUBE[::2], "etcd")}
    content = tarball(programs)
    path = "/envtest-v1.34.1/envtest-v1.34.1-darwin-arm64.tar.gz"
    digest = hashlib.sha512(content).hexdigest()
    site.files |= {path: content, f"{path}.sha512": f"{digest}  {path.rpartition('/')[2]}\n".encode()}
    found = get(tmp_path, site, Wanted("kubernetes"), KubernetesRelease(), MAC)
    assert (set(found.programs), found.missing) == ({"kube-apiserver", "kubectl"}, ("kube-controller-manager",))


def test_only_what_is_missing_is_fetched(tmp_path: Path, site: Site) -> None:
    kubernetes(site, "1.33.0", "kube-controller-manager")
    from tests.unit.test_supply_fakes import put

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
    with pytest.raises(Unfit, match="sha256"):
        digest_of("etcd.tar.gz", published, "sha256")
