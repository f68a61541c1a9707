"""Tests of one real cluster on each engine.

They create, observe and bootstrap it, load an image, pause it and resume it.
"""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envkit.base import labels
from envkit.base.errors import ClusterError, ImageUnavailable
from envkit.base.waiting import Cancel
from envkit.config.models import Cluster
from envkit.drivers.clusters import identities, tokens
from envkit.drivers.clusters.api import Api
from envkit.drivers.clusters.bootstrap import bootstrap
from envkit.drivers.clusters.bootstrap_wanted import wanted
from envkit.drivers.clusters.kind import Kind
from envkit.inventory.state import Renewal
from tests.integration.kind_place import ENGINES, Place, made_on

pytestmark = [pytest.mark.integration, pytest.mark.kind]

THING = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Thing, plural: things, singular: thing}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: example.org/v1
kind: Thing
metadata: {name: first, namespace: staging}
spec: {size: 1}
---
apiVersion: v1
kind: Namespace
metadata: {name: from-manifest, labels: {mine: "yes"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: from-manifest}
data: {a: b}
"""


@pytest.fixture(scope="module", params=ENGINES)
def places(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Place]]:
    with made_on(request.param, tmp_path_factory) as make:
        yield make


@pytest.fixture(scope="module")
def cluster(places: Callable[[], Place]) -> Place:
    """Return one cluster for all tests that do not change it; the user's own kubeconfig stays unchanged."""
    place = places()
    users, began = place.paths.home / "users-kubeconfig", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(users))
        facts = place.create(work=lambda path: began.append(Api.of(path).readyz()))
    assert facts.state == "running"
    assert began[-1] is None  # a failed attempt of kind runs this work once more
    assert not users.exists()
    return place


def configured(folder: Path, **more: Any) -> Cluster:
    (folder / "things.yaml").write_text(THING)
    rights = [{"apiGroups": "example.org", "resources": "things", "verbs": ["get", "create"]}]
    asked = {"group": "example.org", "resource": "things", "namespace": "staging"}
    return Cluster.model_validate({
        "manifests": str(folder),
        "namespaces": ["staging", "production"],
        "identities": {
            "writer": {
                "namespace": "production", "rules": rights,
                "can": [{"verb": "create", **asked}], "cannot": [{"verb": "delete", **asked}],
            },
            "stranger": {"namespace": "production", "cannot": [{"verb": "get", **asked}]},
        },
        **more,
    })  # fmt: skip


def brought_up(place: Place, wish: Cluster) -> list[str]:
    said: list[str] = []
    bootstrap(wish, place.paths, place.name, said.append, Cancel())
    return said


def test_ready_means_api_server_node_and_account(cluster: Place) -> None:
    api = Api.of(cluster.paths.kubeconfig)
    assert [api.readyz(), api.node_ready(1), api.default_account()] == [None, None, None]


def test_it_is_found_by_label_and_network_with_its_mark(cluster: Place) -> None:
    facts = cluster.kind.observe()
    assert (facts.state, facts.fingerprint) == ("running", "fp")
    assert [node.name for node in facts.nodes] == [f"envkit-{cluster.name}-control-plane"]


def test_its_mark_is_read_once_and_a_file_about_another_container_is_not_believed(cluster: Place) -> None:
    known = cluster.paths.folder / "node-fingerprint"
    for before in ("", "0123456789ab of another node"):
        known.write_text(before)
        assert cluster.kind.observe().fingerprint == "fp"
        assert known.read_text().endswith(" fp")
    cluster.containers.read_file = None  # type: ignore[assignment,method-assign]  # no more engine queries
    try:
        assert cluster.kind.observe().fingerprint == "fp"
    finally:
        del cluster.containers.read_file


def test_a_namesake_in_another_network_is_not_ours(cluster: Place) -> None:
    elsewhere = Kind(cluster.kind.endpoint, cluster.name, "another-network", cluster.paths, cluster.containers)
    assert elsewhere.observe().state == "absent"


def test_the_kubeconfig_is_private_and_on_loopback(cluster: Place) -> None:
    path = cluster.paths.kubeconfig
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.search(r"server: https://127\.0\.0\.1:\d+", path.read_text())
    path.unlink()
    cluster.kind.restore_kubeconfig()
    assert Api.of(path).readyz() is None


def test_the_limits_are_those_of_the_running_api_server(cluster: Place) -> None:
    node = f"envkit-{cluster.name}-control-plane"
    raw = cluster.containers.read_file(node, "/etc/kubernetes/manifests/kube-apiserver.yaml") or b""
    assert b"--max-requests-inflight=800" in raw
    assert b"--max-mutating-requests-inflight=400" in raw


def test_the_node_has_its_pod_range(cluster: Place) -> None:
    (node,) = Api.of(cluster.paths.kubeconfig).ask("GET", "/api/v1/nodes")["items"]
    assert node["spec"]["podCIDR"] == "10.244.0.0/24"


def test_bootstrap_brings_in_proves_and_marks_everything(cluster: Place, tmp_path: Path) -> None:
    wish = configured(tmp_path)
    api = Api.of(cluster.paths.kubeconfig)
    assert api.missing(wanted(wish))
    said = brought_up(cluster, wish)
    assert any(re.fullmatch(r"identity writer: rights proved: \d+\.\d s", line) for line in said), said
    assert api.missing(wanted(wish)) == []
    thing = api.find("/apis/example.org/v1/namespaces/staging/things/first")
    assert thing is not None
    assert thing["metadata"]["labels"] == {labels.ENV: cluster.name}
    space = api.find("/api/v1/namespaces/from-manifest")
    assert space is not None
    assert space["metadata"]["labels"]["mine"] == "yes"
    token = cluster.paths.tokens / "writer"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert 3500 < tokens.expires_at(token.read_text()) - time.time() < 3700


def test_bootstrap_again_changes_nothing_and_finds_drift(cluster: Place, tmp_path: Path) -> None:
    wish = configured(tmp_path)
    brought_up(cluster, wish)
    brought_up(cluster, wish)
    api = Api.of(cluster.paths.kubeconfig)
    api.ask("DELETE", "/api/v1/namespaces/production/serviceaccounts/stranger")
    assert api.missing(wanted(wish)) == ["ServiceAccount production/stranger"]
    changed = configured(tmp_path, namespaces=["staging", "production", "more"])
    assert "the bootstrap as it is configured now" in api.missing(wanted(changed))


def test_a_namespace_that_is_terminating_is_waited_out(cluster: Place, tmp_path: Path) -> None:
    brought_up(cluster, configured(tmp_path))
    api = Api.of(cluster.paths.kubeconfig)
    path = "/api/v1/namespaces/staging"
    old = api.ask("GET", path)["metadata"]["uid"]
    api.ask("DELETE", path)
    brought_up(cluster, configured(tmp_path))
    new = api.ask("GET", path)
    assert new["metadata"]["uid"] != old
    assert new["status"]["phase"] == "Active"


def test_a_role_that_changes_is_bound_anew(cluster: Place, tmp_path: Path) -> None:
    brought_up(cluster, configured(tmp_path))
    wish = configured(tmp_path).model_dump()
    wish["identities"]["stranger"]["role"] = "view"
    brought_up(cluster, Cluster.model_validate(wish))
    wish["identities"]["stranger"]["role"] = "edit"
    brought_up(cluster, Cluster.model_validate(wish))


def test_a_right_that_is_not_there_is_named_with_its_step(cluster: Place, tmp_path: Path) -> None:
    wish = configured(tmp_path).model_dump()
    wish["identities"]["stranger"]["can"] = [{"verb": "get", "resource": "secrets"}]
    wish["bootstrap_timeout"] = 8.0
    with pytest.raises(
        ClusterError, match=r"`identity stranger: rights proved` did not end .*may get secrets"
    ) as caught:
        brought_up(cluster, Cluster.model_validate(wish))
    assert "denied" in caught.value.message


def test_a_right_that_was_taken_away_proves_nothing(cluster: Place, tmp_path: Path) -> None:
    """The authorizer reads rights from a cache, and the cache keeps a revoked right for a moment."""
    wish = configured(tmp_path).model_dump()
    wish["identities"]["stranger"]["can"] = [{"verb": "get", "resource": "secrets"}]
    for _ in range(2):
        wish["identities"]["stranger"]["role"], wish["bootstrap_timeout"] = "edit", 60.0
        said = brought_up(cluster, Cluster.model_validate(wish))
        assert any(line.startswith("rights in force: ") for line in said), said
        wish["identities"]["stranger"]["role"], wish["bootstrap_timeout"] = None, 3.0
        with pytest.raises(ClusterError, match="may get secrets"):
            brought_up(cluster, Cluster.model_validate(wish))
    brought_up(cluster, configured(tmp_path))
    left = Api.of(cluster.paths.kubeconfig).ask("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles")["items"]
    assert not [item for item in left if item["metadata"]["name"].startswith("envkit-last-")]


def test_manifests_too_new_are_refused_before_anything_is_applied(cluster: Place, tmp_path: Path) -> None:
    api = Api.of(cluster.paths.kubeconfig)
    (tmp_path / "new.yaml").write_text(
        "apiVersion: example.com/v9\nkind: Widget\nmetadata: {name: w}\n---\n"
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: never-made}\n"
    )
    with pytest.raises(ClusterError, match=r"defines example\.com/v9 Widget"):
        brought_up(cluster, Cluster(manifests=(str(tmp_path),)))
    assert api.find("/api/v1/namespaces/never-made") is None


def test_a_token_is_renewed(cluster: Place, tmp_path: Path) -> None:
    brought_up(cluster, configured(tmp_path))
    old = (cluster.paths.tokens / "writer").read_text()
    time.sleep(1.1)
    new = identities.renew(cluster.paths, Renewal("writer", "production", "writer", 3600))
    assert new != old
    assert (cluster.paths.tokens / "writer").read_text() == new
    assert tokens.expires_at(new) > tokens.expires_at(old)


def test_a_local_image_is_brought_in_once(cluster: Place) -> None:
    api: Any = cluster.containers.api
    tags = [tag for row in api.images() for tag in row.get("RepoTags") or []]
    chosen = next((tag for tag in tags if "standin/debian" in tag or "pause" in tag or "busybox" in tag), None)
    if not chosen:
        pytest.skip("no small image here")
    assert cluster.kind.load([chosen], lambda _: None, Cancel()) == [chosen]
    assert cluster.kind.load([chosen], lambda _: None, Cancel()) == []
    node = f"envkit-{cluster.name}-control-plane"
    _, listed = cluster.kind.nodes.execute(node, ["ctr", "-n", "k8s.io", "images", "list", "-q"])
    assert chosen.rpartition("/")[2] in listed


def test_an_image_that_is_not_here_is_named(cluster: Place) -> None:
    with pytest.raises(ImageUnavailable, match=r"example\.invalid/none:1"):
        cluster.kind.load(["example.invalid/none:1"], lambda _: None, Cancel())


def test_a_paused_cluster_is_resumed(cluster: Place) -> None:
    api: Any = cluster.containers.api
    api.pause(f"envkit-{cluster.name}-control-plane")
    assert cluster.kind.observe().state == "paused"
    assert cluster.kind.observe().fingerprint == "fp"
    cluster.kind.resume(lambda _: None, Cancel())
    assert cluster.kind.observe().state == "running"
