"""`init`: write a first configuration with comments, made from a repository's files. The user answers no questions."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from envkit.base import bounded
from envkit.base.errors import UsageError
from envkit.config.lookup import OWN_FILE
from envkit.config.names import made_name
from envkit.operations.compose import COMPOSE, to_envkit

TASKS = "from envkit.cli.tasks import namespace\n"
"""The one line of a `tasks.py`."""

MENTIONS = {
    "postgres": ("github.com/lib/pq", "github.com/jackc/pgx", "psycopg", "psycopg2", "psycopg2-binary", "asyncpg", "pg",
                 "pg8000"),
    "redis": ("github.com/redis/go-redis", "github.com/go-redis/redis", "github.com/gomodule/redigo", "redis",
              "ioredis"),
    "cluster": ("sigs.k8s.io/controller-runtime", "k8s.io/client-go", "kubernetes", "@kubernetes/client-node"),
}  # fmt: skip
"""The names of dependencies that show what a repository's tests need: a service (the key), or a cluster."""

PORTS = {"postgres": 15432, "redis": 16379}
"""Host ports of services that have no configured port. The usual port numbers are often taken."""

_PACKAGE = re.compile(r"^[A-Za-z0-9][\w.-]*")


@dataclass
class Seen:
    """What envkit found in a repository's files.

    `services` is configuration in envkit's format. `remarks` maps services to notes on them. `cluster` is a cluster
    type or empty. `sources` are the files that were used, and `test` is the command that runs the tests.
    """

    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    cluster: str = ""
    sources: list[str] = field(default_factory=list)
    test: str = "COMMAND"


@dataclass(frozen=True)
class Written:
    """The files that were written, the files that were used, notes for the user, and the command to run the tests."""

    files: tuple[Path, ...]
    seen: tuple[str, ...]
    notes: tuple[str, ...]
    test: str


def init(folder: Path, name: str | None = None) -> Written:
    """Write `envkit.yaml`, and also `tasks.py` if it is missing. Raises `UsageError` if `envkit.yaml` exists."""
    target = folder / OWN_FILE
    if target.exists():
        raise UsageError(f"there is {target} already, and nothing is overwritten", hint="`plan` shows what it would do")
    seen = find_requirements(folder)
    _create(target, rendered(name or made_name(folder.name), seen))
    files, notes = [target], []
    tasks = folder / "tasks.py"
    if tasks.exists():
        if "envkit" not in tasks.read_text(errors="replace"):
            notes.append(f"tasks.py is yours: `{TASKS.strip()}` adds the commands to it")
    else:
        _create(tasks, TASKS)
        files.append(tasks)
    ignored = folder / ".gitignore"
    if not ignored.exists() or "envkit.local.yaml" not in ignored.read_text(errors="replace"):
        notes.append("envkit.local.yaml is for one machine: add it to .gitignore")
    return Written(tuple(files), tuple(seen.sources), tuple(notes), seen.test)


def _create(path: Path, text: str) -> None:
    """Write a new file. Raises `UsageError` if the file cannot be written, or exists, even since a moment ago."""
    try:
        with path.open("x") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


# Read the repository


def find_requirements(folder: Path) -> Seen:
    """Return what the repository needs, from its compose file, its dependencies and its migrations, in this order."""
    seen = Seen()
    for file in (folder / name for name in COMPOSE):
        if file.is_file():
            seen.sources.append(file.name)
            seen.services, seen.remarks = to_envkit(file)
            break
    for name, packages, test in _dependencies(folder):
        seen.sources.append(name)
        seen.test = test if seen.test == "COMMAND" else seen.test
        _mentioned(seen, packages)
    _migrations(seen, folder)
    return seen


def _mentioned(seen: Seen, packages: Iterable[str]) -> None:
    known = [package.lower() for package in packages]
    for what, names in MENTIONS.items():
        found = any(it == name or it.startswith(f"{name}/") for it in known for name in names)
        if found and what == "cluster":
            seen.cluster = "envtest"
        elif found and not any(service.get("preset") == what for service in seen.services.values()):
            seen.services.setdefault(what, {"preset": what, "ports": {what: PORTS[what]}})


def _dependencies(folder: Path) -> Iterator[tuple[str, list[str], str]]:
    """Yield each file that lists dependencies, the names of the dependencies, and the usual command to run tests."""
    if (text := _text(folder / "go.mod")) is not None:
        direct = [line for line in text.splitlines() if "// indirect" not in line]
        yield "go.mod", re.findall(r"([\w.-]+\.[\w.-]+/[^\s]+)\s+v", "\n".join(direct)), "go test -count=1 ./..."
    if (text := _text(folder / "pyproject.toml")) is not None:
        yield "pyproject.toml", _of_pyproject(text), "pytest"
    for path in sorted(folder.glob("requirements*.txt")):
        yield path.name, _packages((_text(path) or "").splitlines()), "pytest"
    if (text := _text(folder / "package.json")) is not None:
        found = _of_yaml(text)
        groups = (
            [found.get(key) or {} for key in ("dependencies", "devDependencies")] if isinstance(found, dict) else []
        )
        yield "package.json", [name for group in groups for name in group], "npm test"


def _of_yaml(text: str) -> Any:
    try:
        return bounded.load(text, bounded.LOADER)
    except yaml.YAMLError:
        return {}


def _of_pyproject(text: str) -> list[str]:
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return []
    project = found.get("project", {})
    groups = [project.get("dependencies", []), *project.get("optional-dependencies", {}).values()]
    groups += [[it for it in group if isinstance(it, str)] for group in found.get("dependency-groups", {}).values()]
    poetry = found.get("tool", {}).get("poetry", {}).get("dependencies", {})
    return [*_packages(line for group in groups for line in group), *poetry]


def _packages(lines: Iterable[str]) -> list[str]:
    return [match[0] for line in lines if (match := _PACKAGE.match(line.strip()))]


def _text(path: Path) -> str | None:
    try:
        with path.open(errors="replace") as file:
            return file.read(bounded.LARGEST)
    except OSError:
        return None


def _migrations(seen: Seen, folder: Path) -> None:
    """Add a service that applies SQL files in goose's format, if the repository has such files and uses PostgreSQL."""
    database = next((name for name, it in seen.services.items() if it.get("preset") == "postgres"), None)
    for name in ("migrations", "db/migrations", "sql/migrations"):
        files = sorted((folder / name).glob("*.sql"))
        if database and files and "+goose Up" in (_text(files[0]) or ""):
            seen.sources.append(name)
            applied = {"once": True, "needs": [database], "migrations": {"folder": name, "service": database}}
            seen.services.setdefault("migrate", applied)
            return


# Write


HEAD = """\
# What the integration tests of this repository need. `envkit plan` shows what `envkit up` would do; every key is in
# docs/configuration.md of envkit. envkit.local.yaml (one machine, not committed) and --set KEY=VALUE override
# this file.
"""

EXAMPLE = """\
# A service of your own needs no more than this:
#   catalogue:
#     build: {context: .}
#     needs: [postgres]
#     env: {DATABASE_URL: "${postgres.exports.DATABASE_URL}"}
#     ports: {http: "18650:8080"}          # host:container, on 127.0.0.1
#     probe: {type: http, path: /healthz}  # the service is ready when it passes
#     exports: {CATALOGUE_URL: "http://${self.address}"}
"""


def rendered(name: str, seen: Seen) -> str:
    """Return the text of `envkit.yaml`: what the repository needs, and comments with examples of other keys."""
    parts = [HEAD, f"name: {name}\n\n"]
    if seen.sources:
        parts.insert(1, f"# Made from {', '.join(seen.sources)}.\n")
    parts.append(_cluster(seen.cluster))
    services = seen.services or {"redis": {"preset": "redis", "ports": {"redis": PORTS["redis"]}}}
    parts.append("services:\n")
    for service, body in services.items():
        parts += [f"  # {remark}\n" for remark in seen.remarks.get(service, ())]
        parts.append(_indented(service, body))
    return "".join([*parts, "\n", EXAMPLE])


def _cluster(chosen: str) -> str:
    if not chosen:
        return "# An API server without nodes (envtest) or a whole cluster (kind), when needed:\n#   cluster: kind\n\n"
    return (
        "# An API server without nodes is up in seconds; `kind` is a whole cluster, with a node that runs pods.\n"
        f"cluster: {{type: {chosen}}} # manifests: deploy/crds, namespaces: [...], identities: {{...}}\n\n"
    )


def _indented(name: str, body: Mapping[str, Any]) -> str:
    text = yaml.safe_dump({name: dict(body)}, sort_keys=False, default_flow_style=False, allow_unicode=True, width=110)
    return "".join(f"  {line}\n" for line in text.splitlines())
