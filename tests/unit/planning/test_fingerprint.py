"""Tests of fingerprints: equal for a service that can be kept, different for one that must be replaced."""

from pathlib import Path
from typing import Any

import pytest

from envkit.config.models import Cluster, Service
from envkit.planning.fingerprint import bootstrap_fingerprint, cluster_fingerprint, fingerprint

RAW: dict[str, Any] = {
    "image": "x",
    "command": ["run"],
    "env": {"A": "1", "B": "2"},
    "ports": {"web": {"container": 80, "host": 2000}},
    "files": [{"path": "/f", "content": "text"}],
}


def digest(image: str = "sha256:1", offset: int = 0, **changes: Any) -> str:
    return fingerprint(Service.model_validate({**RAW, **changes}), image, offset=offset)


def test_it_is_short_and_does_not_change_between_runs() -> None:
    assert digest() == digest(env={"B": "2", "A": "1"})
    assert len(digest()) == 16
    assert int(digest(), 16)


@pytest.mark.parametrize(
    "changes",
    [
        {"command": ["walk"]},
        {"entrypoint": ["sh"]},
        {"env": {"A": "1"}},
        {"memory": "1GiB"},
        {"user": "1000"},
        {"ports": {"web": {"container": 81, "host": 2000}}},
        {"ports": {"web": {"container": 80, "host": 2001}}},
        {"ports": {"web": {"container": 80, "host": "auto"}}},
        {"files": [{"path": "/f", "content": "other"}]},
        {"files": [{"path": "/f", "content": "text", "mode": "0600"}]},
        {"once": True},
        {"image": "sha256:2"},
        {"offset": 1},
    ],
)
def test_what_is_inside_counts(changes: dict[str, Any]) -> None:
    assert digest(**changes) != digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"timeout": 5},
        {"stop_timeout": 5},
        {"exports": {"V": "1"}},
        {"needs": ["b"]},
        {"probe": {"type": "tcp"}},
        {"first_probe": {"type": "audit"}},
    ],
)
def test_what_is_asked_from_outside_does_not(changes: dict[str, Any]) -> None:
    assert digest(**changes) == digest()


def test_the_content_of_source_files_and_migrations_counts(tmp_path: Path) -> None:
    (tmp_path / "001_a.sql").write_text("one")
    once = {"once": True, "image": (), "migrations": {"folder": str(tmp_path)}}
    source = {"files": [{"path": "/f", "source": str(tmp_path / "001_a.sql")}]}
    plain = {key: value for key, value in RAW.items() if key != "image"}
    before = fingerprint(Service.model_validate({**plain, **once}), ""), digest(**source)
    (tmp_path / "001_a.sql").write_text("two")
    after = fingerprint(Service.model_validate({**plain, **once}), ""), digest(**source)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_cluster_is_made_anew_only_for_its_node(tmp_path: Path) -> None:
    (tmp_path / "crd.yaml").write_text("a: 1")
    raw: dict[str, Any] = {"type": "kind", "ports": [{"node": 1, "host": 2000}], "manifests": [str(tmp_path)]}
    cluster = Cluster.model_validate(raw)
    richer = Cluster.model_validate({**raw, "namespaces": ["a"], "timeout": 5, "identities": {"i": {"namespace": "a"}}})
    assert cluster_fingerprint(cluster) == cluster_fingerprint(richer)
    assert bootstrap_fingerprint(cluster) != bootstrap_fingerprint(richer)
    assert cluster_fingerprint(cluster, 1) != cluster_fingerprint(cluster)
    assert cluster_fingerprint(Cluster.model_validate({**raw, "node_image": "x"})) != cluster_fingerprint(cluster)
    before = bootstrap_fingerprint(cluster)
    (tmp_path / "crd.yaml").write_text("a: 2")
    assert bootstrap_fingerprint(cluster) != before
