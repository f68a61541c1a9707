"""Finds manifests that need a newer API server, before any manifest is applied. All functions are pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from envkit.drivers.clusters.manifests import Manifest, crds

Version = tuple[int, int]
Served = Callable[[str], frozenset[str] | None]
"""A function that returns the kinds that the API server serves in an apiVersion; None if it does not serve this one."""

SINCE: Mapping[tuple[str, str], Version] = {
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"): (1, 30),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"): (1, 30),
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy"): (1, 36),
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding"): (1, 36),
    ("autoscaling/v2", "HorizontalPodAutoscaler"): (1, 23),
    ("batch/v1", "CronJob"): (1, 21),
    ("policy/v1", "PodDisruptionBudget"): (1, 21),
    ("discovery.k8s.io/v1", "EndpointSlice"): (1, 21),
    ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema"): (1, 29),
    ("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration"): (1, 29),
}
"""Maps some built-in kinds to the first Kubernetes version that serves each by default. The source is Kubernetes' pages
about deprecations and feature gates."""

FIELDS: Sequence[tuple[str, Version, str]] = (
    ("x-kubernetes-validations", (1, 25), "CEL rules"),
    ("selectableFields", (1, 31), "selectable fields"),
)
"""Fields of CRDs that older API servers drop or reject. Each row contains the field, the first Kubernetes version that
accepts the field by default, and the words for the field in messages."""


def rejected_arguments(manifests: Sequence[Manifest], server: Version, served: Served) -> list[str]:
    """Return the reasons why this API server cannot accept the manifests: its version is too old, or it lacks a kind.

    Returns one line for each reason, and an empty list if the API server can accept all manifests.
    """
    own = set(_own_kinds(manifests))
    return [
        f"{manifest}: {reason}"
        for manifest in manifests
        for reason in (_needed(manifest, server) or _unknown(manifest, server, served, own))
    ]


def _needed(manifest: Manifest, server: Version) -> list[str]:
    needs = [(version, what) for version, what in _requirements(manifest) if version > server]
    return [
        f"{what} need Kubernetes {version[0]}.{version[1]} or newer; this API server is {server[0]}.{server[1]}"
        for version, what in sorted(set(needs))
    ]


def _requirements(manifest: Manifest) -> Iterator[tuple[Version, str]]:
    since = SINCE.get((manifest.api_version, manifest.kind))
    if since:
        yield since, f"objects of {manifest.api_version} {manifest.kind}"
    if manifest.kind == "CustomResourceDefinition":
        keys = set(_keys(manifest.body.get("spec")))
        yield from ((version, f"{what} ({name})") for name, version, what in FIELDS if name in keys)
    if _has_sidecar(manifest.body):
        yield (1, 29), "sidecars (init containers with a restartPolicy)"


def _unknown(manifest: Manifest, server: Version, served: Served, own: set[tuple[str, str]]) -> list[str]:
    wanted = (manifest.api_version, manifest.kind)
    if wanted in own or manifest.kind in (served(manifest.api_version) or ()):
        return []
    return [f"neither this API server ({server[0]}.{server[1]}) nor a CRD in the manifests defines {' '.join(wanted)}"]


def _own_kinds(manifests: Sequence[Manifest]) -> Iterator[tuple[str, str]]:
    for crd in crds(manifests):
        spec = crd.body.get("spec") or {}
        kind = (spec.get("names") or {}).get("kind", "")
        for version in spec.get("versions") or [{"name": spec.get("version", "")}]:
            yield f"{spec.get('group', '')}/{version.get('name', '')}", kind


def _has_sidecar(node: Any) -> bool:
    if isinstance(node, Mapping):
        starters = node.get("initContainers")
        if isinstance(starters, list) and any(
            isinstance(one, Mapping) and one.get("restartPolicy") for one in starters
        ):
            return True
        return any(_has_sidecar(value) for value in node.values())
    return isinstance(node, list) and any(_has_sidecar(value) for value in node)


def _keys(node: Any) -> Iterator[str]:
    """Yield the keys at any depth, except the names in a schema's `properties`, because users choose these names."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "properties" and isinstance(value, Mapping):
                for schema in value.values():
                    yield from _keys(schema)
            else:
                yield str(key)
                yield from _keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from _keys(value)
