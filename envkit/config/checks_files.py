"""Files and folders that the configuration names must be there before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from envkit.config.merge import Keys
from envkit.config.models import Environment, Service
from envkit.config.shipped import OWN
from envkit.config.yamlfile import Finding


def files(environment: Environment) -> Iterator[Finding]:
    """Everything that is named and is not there."""
    for name, service in environment.services.items():
        yield from _of_service(("services", name), service)
    cluster = environment.cluster
    if cluster.type == "none":
        return
    for index, manifest in enumerate(cluster.manifests):
        yield from _manifests(("cluster", "manifests", index), Path(manifest))
    if cluster.kubeconfig:
        yield from _file(("cluster", "kubeconfig"), Path(cluster.kubeconfig))


def _of_service(at: Keys, service: Service) -> Iterator[Finding]:
    for index, file in enumerate(service.files):
        if file.source is not None:
            yield from _file((*at, "files", index, "source"), Path(file.source))
    if service.build and service.build.context != OWN:
        context = Path(service.build.context)
        missing = list(_folder((*at, "build", "context"), context))
        yield from missing
        if not missing:
            yield from _file((*at, "build", "dockerfile"), context / service.build.dockerfile)
    if service.migrations and service.migrations.folder != OWN:
        folder = Path(service.migrations.folder)
        missing = list(_folder((*at, "migrations", "folder"), folder))
        yield from missing
        if not missing and not any(folder.glob("*.sql")):
            yield (*at, "migrations", "folder"), f"expected files named 001_name.sql in {folder}; there are none"


def _file(keys: Keys, path: Path) -> Iterator[Finding]:
    if not path.is_file():
        yield keys, f"expected a file; {path} {'is a folder' if path.is_dir() else 'does not exist'}"


def _folder(keys: Keys, path: Path) -> Iterator[Finding]:
    if not path.is_dir():
        yield keys, f"expected a folder; {path} {'is a file' if path.is_file() else 'does not exist'}"


def _manifests(keys: Keys, path: Path) -> Iterator[Finding]:
    if not path.exists():
        yield keys, f"expected a file or folder of manifests; {path} does not exist"
    elif path.is_dir() and not any(file.suffix in (".yaml", ".yml", ".json") for file in path.rglob("*")):
        yield keys, f"expected manifests (.yaml, .yml or .json) in {path}; there are none"
