"""Tests of the API server's parts as services: their flags by version, their files and their listening addresses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from envkit.base import kubeconfig
from envkit.base.paths import Paths
from envkit.config.models import Environment, Port, Service
from envkit.config.names import APISERVER, CONTROLLERS, ETCD, PARTS
from envkit.drivers.clusters.envtest import Envtest, with_parts
from envkit.drivers.clusters.parts import cut_off_parts
from envkit.drivers.lanes import finalize_for_lane
from envkit.drivers.supply.kubernetes_flags import without_refused
from envkit.planning import desired
from envkit.planning.facts import Instance

OLD, NEW = "v1.20.2", "v1.34.1"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "state", "t")


def environment(**cluster: Any) -> Environment:
    return Environment.model_validate({"name": "t", "root": "/here", "cluster": {"type": "envtest", **cluster}})


def parts(paths: Paths, **cluster: Any) -> dict[str, Service]:
    return Envtest(environment(**cluster), paths).services()


def flags(words: tuple[str, ...] | None) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in words or () if word.startswith("--"))


def as_process(service: Service) -> tuple[str, ...]:
    assert service.process is not None
    return service.process.command


@pytest.mark.parametrize(
    ("version", "kept"),
    [(OLD, True), ("1.23.17", True), ("1.24.0", False), (NEW, False), ("", False), ("latest", False)],
)
def test_flags_that_older_versions_want_and_newer_ones_refuse(paths: Paths, version: str, kept: bool) -> None:
    made = parts(paths)

    server = without_refused(as_process(made[APISERVER]), version)
    controllers = without_refused(as_process(made[CONTROLLERS]), version)

    assert ("--insecure-port=0" in server, "--port=0" in controllers) == (kept, kept)
    assert "--secure-port=0" in controllers, "it listens nowhere"
    assert {*as_process(made[APISERVER])} - {*server} <= {"--insecure-port=0"}


def test_nothing_listens_beyond_loopback_and_nobody_is_anonymous(paths: Paths) -> None:
    seen = finalize_for_lane(environment(), "embedded", paths, make=True)
    etcd, server = (flags(as_process(desired.resolve_for_container(seen, name, paths))) for name in (ETCD, APISERVER))

    urls = [value for key, value in etcd.items() if key.startswith(("--listen", "--advertise", "--initial-adv"))]
    assert len(urls) == 4
    assert all(re.fullmatch(r"https://127\.0\.0\.1:\d+", url) for url in urls), urls
    assert etcd["--client-cert-auth"] == etcd["--peer-client-cert-auth"] == "true"
    assert server["--bind-address"] == "127.0.0.1"
    assert (server["--anonymous-auth"], server["--authorization-mode"]) == ("false", "RBAC")
    assert server["--etcd-servers"].startswith("https://127.0.0.1:")


def test_every_file_that_a_flag_names_is_among_its_files(paths: Paths) -> None:
    for name, part in parts(paths).items():
        words = " ".join(as_process(part)) + "".join(file.content or "" for file in part.files)
        named = {*re.findall(r"\$\{self\.root\}(/[\w./-]+)", words)}
        assert named, name
        assert {file.path for file in part.files} == named
        assert {file.mode for file in part.files} == {"0600"}


def test_who_needs_whom(paths: Paths) -> None:
    made = parts(paths)

    assert tuple(made) == PARTS
    assert [made[name].needs for name in PARTS] == [(), (ETCD,), (APISERVER,)]
    assert all(part.part_of_cluster for part in made.values())


def test_limits_and_version_reach_the_parts(paths: Paths) -> None:
    limits = {"inflight": 11, "mutating_inflight": 12, "controller_qps": 13, "controller_burst": 14}

    made = parts(paths, limits=limits, kubernetes=NEW)

    server, controllers = flags(as_process(made[APISERVER])), flags(as_process(made[CONTROLLERS]))
    assert [server[f"--max-{word}requests-inflight"] for word in ("", "mutating-")] == ["11", "12"]
    assert [controllers[f"--kube-api-{word}"] for word in ("qps", "burst")] == ["13", "14"]
    for part in (made[APISERVER], made[CONTROLLERS]):
        assert part.process is not None
        assert part.process.minimum == NEW
        assert part.image[0].endswith(f":{NEW}")


def test_the_controllers_come_in_with_their_own_certificate(paths: Paths) -> None:
    (config,) = [file for file in parts(paths)[CONTROLLERS].files if file.content]
    document = yaml.safe_load(str(config.content))

    assert document["clusters"][0]["cluster"] == {
        "server": "https://${apiserver.address}", "certificate-authority": "${self.root}/pki/ca.crt",
    }  # fmt: skip
    assert document["users"][0]["user"] == {
        "client-certificate": "${self.root}/pki/controllers.crt", "client-key": "${self.root}/pki/controllers.key",
    }  # fmt: skip


def test_the_administrators_kubeconfig_is_the_users_alone(paths: Paths) -> None:
    Envtest(environment(), paths).write_kubeconfig(20123)

    assert oct(paths.kubeconfig.stat().st_mode & 0o777) == "0o600"
    access = kubeconfig.read(paths.kubeconfig)
    assert access.server == "https://127.0.0.1:20123"
    assert access.verify
    assert access.ca == (paths.folder / "pki/ca.crt").read_text()


def test_the_same_parts_are_the_same_again(paths: Paths) -> None:
    assert parts(paths) == parts(paths)


def test_parts_stand_before_the_users_own_services(paths: Paths) -> None:
    own = Service(image=("i",), ports={"http": Port(container=80)})
    before = environment().model_copy(update={"services": {"own": own}})

    assert tuple(with_parts(before, parts(paths)).services) == (*PARTS, "own")


def test_controllers_older_than_their_api_server_do_not_count_as_dead() -> None:
    """The controllers' own step removes them while envkit waits for the cluster."""
    old, server, new = (f"2026-11-20T10:00:0{second}.123456789Z" for second in (1, 2, 3))
    parts = {APISERVER: Instance("s", "s", APISERVER, "running", started_at=server)}
    told = [cut_off_parts(Instance("c", "c", CONTROLLERS, "exited", started_at=began), parts) for began in (old, new)]
    assert told == [True, False]
    assert not cut_off_parts(Instance("e", "e", ETCD, "exited", started_at=old), parts), "nobody replaces it now"
