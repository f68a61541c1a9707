"""Reads manifests from files and folders, reports all faults together, and sorts the objects for `apply`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from envkit.base import bounded
from envkit.base.errors import ConfigError, Fault

SUFFIXES = (".yaml", ".yml", ".json")
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader, which reads a folder of CRDs ten times faster; PyYAML's own loader if there is no libyaml."""

ORDER = (
    ("Namespace",), ("CustomResourceDefinition",),
    ("PriorityClass", "StorageClass", "RuntimeClass", "IngressClass", "ResourceQuota", "LimitRange"),
    ("ServiceAccount", "Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim"),
    ("ClusterRole", "Role"), ("ClusterRoleBinding", "RoleBinding"), ("Service",),
)  # fmt: skip
LAST = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicyBinding", "APIService")  # fmt: skip
"""The kinds to apply after all others, because their objects refer to objects of other kinds."""


@dataclass(frozen=True)
class Manifest:
    """One Kubernetes object, with its file and the number of the line at which its YAML document begins."""

    body: dict[str, Any] = field(repr=False)
    file: str
    line: int

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.body["kind"])

    @property
    def api_version(self) -> str:
        """The group and version as `group/version`, or only the version for the core group."""
        return str(self.body["apiVersion"])

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The object's namespace, or an empty string if the object names no namespace."""
        return str(self.body["metadata"].get("namespace") or "")

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.file}:{self.line})"


def load(paths: Sequence[str | Path]) -> list[Manifest]:
    """Return all objects of the files and folders in the order of application (by kind).

    Raises `ConfigError` with all faults of all files.
    """
    found: list[Manifest] = []
    faults: list[Fault] = []
    for file in _files(paths):
        for entry in _objects(file):
            (faults if isinstance(entry, Fault) else found).append(entry)  # type: ignore[arg-type]  # each entry fits its list
    if faults:
        raise ConfigError(faults, hint="correct the manifests")
    return sorted(found, key=lambda manifest: rank(manifest.kind))


def rank(kind: str) -> int:
    """Return the position of a kind in the order of application.

    Objects whose kinds have the same position stay in the order of the files.
    """
    for place, kinds in enumerate(ORDER):
        if kind in kinds:
            return place
    return len(ORDER) + (kind in LAST)


def crds(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the manifests of CustomResourceDefinitions."""
    return [manifest for manifest in manifests if manifest.kind == "CustomResourceDefinition"]


def _files(paths: Sequence[str | Path]) -> Iterator[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        else:
            yield path


def _objects(file: Path) -> Iterator[Manifest | Fault]:
    try:
        text = bounded.read_text(file, bounded.LARGEST_MANIFEST)
    except (OSError, UnicodeDecodeError, bounded.TooLarge) as error:
        yield Fault(str(file), "", f"cannot be read: {error}")
        return
    for line, part in _documents(text):
        try:
            body = bounded.load(part, LOADER, bounded.MOST_OF_A_MANIFEST)
        except yaml.YAMLError as error:
            yield Fault(str(file), f"line {line + _line(error)}", _said(error))
            continue
        yield from _unpacked(body, str(file), line)


def _documents(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number of the first line and the text of each YAML document.

    The caller parses each document separately, so that a fault in one does not hide faults in others.
    """
    line, start = 1, 0
    for mark in re.finditer(r"^---(?=\s|$).*$", text, re.MULTILINE):
        yield line, text[start : mark.start()]
        line += text.count("\n", start, mark.end())
        start = mark.end()
    yield line, text[start:]


def _unpacked(body: Any, file: str, line: int) -> Iterator[Manifest | Fault]:
    if body is None:
        return
    if isinstance(body, dict) and str(body.get("kind", "")).endswith("List") and isinstance(body.get("items"), list):
        for item in body["items"]:
            yield from _unpacked(item, file, line)
        return
    missing = _missing(body)
    yield Fault(file, f"line {line}", missing) if missing else Manifest(body, file, line)


def _missing(body: Any) -> str:
    if not isinstance(body, dict):
        return f"expected a Kubernetes object, found {type(body).__name__}"
    metadata = body.get("metadata")
    named = isinstance(metadata, dict) and metadata.get("name")
    lacks = [key for key in ("apiVersion", "kind") if not body.get(key)] + ([] if named else ["metadata.name"])
    return f"expected a Kubernetes object, but it has no {' and no '.join(lacks)}" if lacks else ""


def _line(error: yaml.YAMLError) -> int:
    mark = getattr(error, "problem_mark", None)
    return int(mark.line) if mark else 0


def _said(error: yaml.YAMLError) -> str:
    problem, context = getattr(error, "problem", None), getattr(error, "context", None)
    return f"not YAML: {', '.join(filter(None, (context, problem)))}" if problem else f"not YAML: {error}"
