"""Tests of manifests: their order, their faults in one report, and the refusal if the API server is too old."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import ConfigError
from envkit.drivers.clusters.gates import rejected_arguments
from envkit.drivers.clusters.manifests import Manifest, load

CRD = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec: {group: example.org, names: {kind: Thing, plural: things}, versions: [{name: v1}]}
"""
BUILT_IN = {"v1": frozenset({"ConfigMap", "Pod"}), "apps/v1": frozenset({"Deployment"})}


def manifest(kind: str, api_version: str = "v1", **body: Any) -> Manifest:
    return Manifest({"apiVersion": api_version, "kind": kind, "metadata": {"name": "n"}, **body}, "f.yaml", 1)


def crd(schema: dict[str, Any] | None = None, **version: Any) -> Manifest:
    versions = [{"name": "v1", "schema": {"openAPIV3Schema": schema or {}}, **version}]
    spec = {"group": "example.org", "names": {"kind": "Thing"}, "versions": versions}
    return manifest("CustomResourceDefinition", "apiextensions.k8s.io/v1", spec=spec)


def refused(*manifests: Manifest, server: tuple[int, int] = (1, 20)) -> list[str]:
    known = {**BUILT_IN, "apiextensions.k8s.io/v1": frozenset({"CustomResourceDefinition"})}
    return rejected_arguments(manifests, server, known.get)


def test_files_folders_and_documents_in_order_of_application(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.yaml").write_text(
        "apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: t}\n---\n# nothing\n---\n" + CRD
    )
    (tmp_path / "sub" / "b.json").write_text('{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}')
    (tmp_path / "notes.txt").write_text("not: read")
    assert [one.kind for one in load([tmp_path])] == ["Namespace", "CustomResourceDefinition", "Thing"]


def test_lists_are_unpacked(tmp_path: Path) -> None:
    item = "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}}"
    (tmp_path / "l.yaml").write_text(f"apiVersion: v1\nkind: List\nitems: [{item % 'a'}, {item % 'b'}]\n")
    assert [one.name for one in load([tmp_path])] == ["a", "b"]


def test_every_fault_of_every_file_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\nbad: [1\n---\n- a list\n")
    (tmp_path / "b.yaml").write_text("kind: B\nmetadata: {}\n")
    with pytest.raises(ConfigError) as caught:
        load([tmp_path, tmp_path / "none.yaml"])
    said = [str(fault) for fault in caught.value.faults]
    assert len(said) == 4
    assert "a.yaml: line 5" in said[0] or "a.yaml: line 6" in said[0]
    assert "a.yaml: line 6: expected a Kubernetes object, found list" in said[1]
    assert "no apiVersion and no metadata.name" in said[2]
    assert "none.yaml" in said[3]


def test_the_line_is_that_of_the_document(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# head\n---\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n" + CRD)
    assert {one.kind: one.line for one in load([tmp_path])} == {"A": 2, "CustomResourceDefinition": 6}


def test_webhooks_come_after_what_serves_them(tmp_path: Path) -> None:
    kinds = ["ValidatingWebhookConfiguration", "Deployment", "ClusterRoleBinding", "ClusterRole"]
    texts = (f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: n}}\n" for kind in kinds)
    (tmp_path / "a.yaml").write_text("---\n".join(texts))
    assert [one.kind for one in load([tmp_path])] == kinds[::-1]


def test_what_the_server_knows_is_let_through() -> None:
    assert refused(manifest("ConfigMap"), crd(), manifest("Thing", "example.org/v1")) == []


def test_cel_rules_need_1_25() -> None:
    schema = {"properties": {"spec": {"x-kubernetes-validations": [{"rule": "true"}]}}}
    reason = "CEL rules (x-kubernetes-validations) need Kubernetes 1.25 or newer; this API server is 1.20"
    assert reason in refused(crd(schema))[0]
    assert refused(crd(schema), server=(1, 25)) == []


def test_selectable_fields_need_1_31() -> None:
    new = crd(selectableFields=[{"jsonPath": ".spec.x"}])
    assert "1.31" in refused(new, server=(1, 30))[0]
    assert refused(new, server=(1, 31)) == []


def test_a_property_may_be_called_like_a_field() -> None:
    assert refused(crd({"properties": {"selectableFields": {"type": "string"}}})) == []


def test_admission_policies_need_1_30() -> None:
    policy = manifest("ValidatingAdmissionPolicy", "admissionregistration.k8s.io/v1")
    assert "need Kubernetes 1.30" in refused(policy)[0]


def test_sidecars_need_1_29() -> None:
    pod = {"spec": {"initContainers": [{"name": "s", "restartPolicy": "Always"}]}}
    assert "1.29" in refused(manifest("Deployment", "apps/v1", spec={"template": pod}))[0]
    assert refused(manifest("Pod", spec={"restartPolicy": "Always", "initContainers": [{"name": "s"}]})) == []


def test_a_kind_that_nobody_knows_is_refused_by_name() -> None:
    (reason,) = refused(manifest("Widget", "example.com/v1"))
    assert "Widget n (f.yaml:1)" in reason
    assert "neither this API server (1.20) nor a CRD in the manifests defines example.com/v1 Widget" in reason


def test_every_reason_is_given() -> None:
    assert len(refused(manifest("Widget", "example.com/v1"), manifest("Gadget", "example.com/v1"))) == 2
