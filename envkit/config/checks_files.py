"""Check that the files and folders in the configuration exist and that this user is allowed to read them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from envkit.config.merge import Keys
from envkit.config.models import Environment, File, Service
from envkit.config.names import did_you_mean
from envkit.config.shipped import OWN
from envkit.config.yamlfile import Finding


def files(environment: Environment) -> Iterator[Finding]:
    """Yield a finding for each named file or folder that is missing, unreadable, or without the expected content.

    Two files of a service with the same path are a finding too.
    """
    for name, service in environment.services.items():
        yield from _of_service(("services", name), service)
    cluster = environment.cluster
    if not cluster.wanted:
        return
    for index, manifest in enumerate(cluster.manifests):
        yield from _manifests(("cluster", "manifests", index), Path(manifest))
    if cluster.kubeconfig:
        yield from _file(("cluster", "kubeconfig"), Path(cluster.kubeconfig))


def _of_service(at: Keys, service: Service) -> Iterator[Finding]:
    paths: dict[str, int] = {}
    for index, file in enumerate(service.files):
        here: Keys = (*at, "files", index)
        missing = list(_file((*here, "source"), Path(file.source))) if file.source is not None else []
        yield from missing
        if file.set and not missing:
            yield from _laid_over(here, file)
        if paths.setdefault(file.path, index) != index:
            yield (*here, "path"), f"{file.path} is also the path of files[{paths[file.path]}]"
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
        if missing:
            return
        found = list(folder.glob("*.sql"))
        yield from _readable((*at, "migrations", "folder"), found)
        if not found:
            yield (*at, "migrations", "folder"), f"expected files named 001_name.sql in {folder}; there are none"


def _laid_over(at: Keys, file: File) -> Iterator[Finding]:
    """Yield a finding for each value of `set` that cannot be set in the document; each value is tried separately.

    If the text is not a YAML or JSON document, this is the only finding.
    """
    from envkit.config.documents import laid_over
    from envkit.config.resolution import text_of

    at_text: Keys = (*at, "content" if file.content is not None else "source")
    try:
        text = text_of(file)
        laid_over(text, {}, file.source or file.path)
    except (ValueError, OSError) as error:
        yield at_text, f"{file.source or 'the text'} {error}; `set` needs YAML or JSON"
        return
    for path, value in file.set.items():
        try:
            laid_over(text, {path: value}, file.source or file.path)
        except ValueError as error:
            yield (*at, "set", path), str(error)


def accounts(environment: Environment) -> Iterator[Finding]:
    """Yield findings for services that use an identity that does not exist, has no token, or cannot be used there.

    A service that uses an identity must need the cluster. A host command or migration cannot get files from envkit.
    """
    for name, service in environment.services.items():
        at: Keys = ("services", name)
        asked = {"service_account": service.service_account}
        asked["kubeconfig"] = service.kubeconfig.identity if service.kubeconfig else None
        for key, identity in asked.items():
            if identity is None:
                continue
            yield from _account((*at, key), identity, environment)
            if "cluster" not in service.needs and environment.cluster.wanted:
                yield (*at, "needs"), f"expected cluster among them, because `{key}` needs the API server"
        if not service.runs:
            for key in ("files", "certificates", "kubeconfig", "service_account"):
                if getattr(service, key):
                    yield (
                        (*at, key),
                        "envkit puts no files into a host command or migration; use `${identity.NAME...}` there",
                    )


def _account(at: Keys, identity: str, environment: Environment) -> Iterator[Finding]:
    known = environment.cluster.identities
    if not environment.cluster.wanted:
        yield at, "there is no cluster (cluster: none)"
    elif identity not in known:
        there = ", ".join(known) or "none"
        yield at, f"there is no identity '{identity}'{did_you_mean(identity, known)}; there are: {there}"
    elif known[identity].token is None:
        yield at, f"identity {identity} has no token (token: none)"


def _file(keys: Keys, path: Path) -> Iterator[Finding]:
    if not path.is_file():
        yield keys, f"expected a file; {path} {'is a folder' if path.is_dir() else 'does not exist'}"
    else:
        yield from _readable(keys, [path])


def _readable(keys: Keys, paths: Iterable[Path]) -> Iterator[Finding]:
    for path in paths:
        if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
            yield keys, f"this user may not read {path}; check its owner and mode"


def _folder(keys: Keys, path: Path) -> Iterator[Finding]:
    if not path.is_dir():
        yield keys, f"expected a folder; {path} {'is a file' if path.is_file() else 'does not exist'}"
    else:
        yield from _readable(keys, [path])


def _manifests(keys: Keys, path: Path) -> Iterator[Finding]:
    if not path.exists():
        yield keys, f"expected a file or folder of manifests; {path} does not exist"
        return
    yield from _readable(keys, [path])
    if path.is_dir() and not any(file.suffix in (".yaml", ".yml", ".json") for file in path.rglob("*")):
        yield keys, f"expected manifests (.yaml, .yml or .json) in {path}; there are none"
