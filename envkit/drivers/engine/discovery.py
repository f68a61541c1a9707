"""Finds a container engine that answers. It tries addresses in the order in which the user's tools try them."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from envkit.base.deadline import Deadline
from envkit.base.deadline_http import UnixConnection
from envkit.base.deadline_http import ask as http_ask
from envkit.base.errors import EngineError
from envkit.drivers.engine.endpoint import Endpoint, EngineName

_API = re.compile(r"\d+\.\d+")

ASK_SECONDS = 5.0
"""Time limit for one request to an engine; a socket without a daemon refuses at once."""

LARGEST = 1 << 26
"""Longest answer in bytes: enough for a list of some thousand containers."""


@dataclass(frozen=True)
class Candidate:
    """An address where an engine can answer. If `explicit` is true, the user has set it, so one must answer."""

    url: str
    source: str
    explicit: bool = False
    default_for: EngineName | None = None


def ask(url: str) -> dict[str, Any]:
    """Return the answer of the engine at `url` to `/version`. Raises `OSError` or `ValueError` if no engine answers.

    For Podman on this Linux host it makes the answer from the headers of `/_ping`. Podman 4.3 takes 0.45 s for
    `/version`, because it runs dpkg or rpm to find the packages of its helpers.
    """
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return _ask_with_sdk(url)
    version = _request(parts.path, "/_ping")[0].get("Libpod-API-Version") if sys.platform == "linux" else None
    if version:
        machine = os.uname().machine
        arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
        return {"Version": version, "Arch": arch, "Components": [{"Name": "Podman Engine", "Version": version}]}
    answer = _get(parts.path, "/version")
    if isinstance(answer, dict):
        return answer
    raise ValueError(f"not an engine's answer to /version: {answer!r:.80}")


def _get(socket_path: str, path: str) -> Any:
    """Return the JSON answer to a GET on a unix socket. Raises `OSError`, or `ValueError` for every other answer."""
    _, status, body = _request(socket_path, path)
    if status != http.HTTPStatus.OK:
        raise ValueError(f"not an engine's answer to {path}: HTTP {status}")
    return json.loads(body)


def _request(socket_path: str, path: str) -> tuple[Message, int, bytes]:
    """Return the headers, the status and the body of the answer to a GET.

    It does not use the SDK, because its import takes 0.14 s. Raises `OSError`, or `ValueError` if it gets no HTTP.
    """
    connection = UnixConnection(socket_path, Deadline(ASK_SECONDS))
    try:
        answer = http_ask(connection, "GET", path, most=LARGEST)
        return answer.headers, answer.status, answer.data
    except http.client.HTTPException as error:
        raise ValueError(f"not an engine's answer: {error!r}") from error
    finally:
        connection.close()


def _ask_with_sdk(url: str) -> dict[str, Any]:
    """Return the answer to `/version` over TCP, ssh or a named pipe of Windows. Raises `OSError`."""
    from envkit.drivers.engine.sdk import connect, translated

    try:
        with translated("asking for the version"):
            client = connect(Endpoint("docker", url, "", ""), int(ASK_SECONDS))
            try:
                answer: dict[str, Any] = client.version(api_version=False)
            finally:
                client.close()
    except EngineError as error:
        raise OSError(error.message) from error
    return answer


def engine_of(version: Mapping[str, Any]) -> EngineName:
    """Return which engine gave this answer to `/version`: DOCKER_HOST can be the address of Podman."""
    components = [str(part.get("Name", "")) for part in version.get("Components") or []]
    return "podman" if any("Podman" in name for name in components) else "docker"


def candidates(environ: Mapping[str, str]) -> Iterator[Candidate]:
    """Yield addresses in the order in which the user's tools try them.

    Raises `EngineError` if DOCKER_CONTEXT names a context that does not exist.
    """
    home = Path(environ.get("HOME") or Path.home())
    runtime = Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    if environ.get("DOCKER_HOST"):
        yield Candidate(environ["DOCKER_HOST"], "DOCKER_HOST", explicit=True)
    if environ.get("CONTAINER_HOST"):
        yield Candidate(environ["CONTAINER_HOST"], "CONTAINER_HOST", explicit=True)
    yield from _context(environ, home)
    usual: list[tuple[Path, str, EngineName | None]] = [
        (Path("/var/run/docker.sock"), "usual socket", "docker"),
        (runtime / "docker.sock", "rootless Docker", None),
        (home / ".docker/run/docker.sock", "Docker Desktop", None),
        (home / ".docker/desktop/docker.sock", "Docker Desktop", None),
        (home / ".orbstack/run/docker.sock", "OrbStack", None),
        (home / ".colima/default/docker.sock", "Colima", None),
        (home / ".rd/docker.sock", "Rancher Desktop", None),
        (runtime / "podman/podman.sock", "rootless Podman", "podman" if os.getuid() else None),
        (Path("/run/podman/podman.sock"), "usual socket", None if os.getuid() else "podman"),
    ]
    for path, source, default_for in usual:
        if path.exists():
            yield Candidate(f"unix://{path}", source, default_for=default_for)


def _context(environ: Mapping[str, str], home: Path) -> Iterator[Candidate]:
    """Yield the address of Docker's current context. Raises `EngineError` if DOCKER_CONTEXT names a missing one."""
    folder = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    name = environ.get("DOCKER_CONTEXT", "")
    try:
        name = name or json.loads((folder / "config.json").read_text()).get("currentContext", "")
        if name and name != "default":
            meta = folder / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
            host = json.loads(meta.read_text())["Endpoints"]["docker"]["Host"]
            yield Candidate(host, f"docker context {name}", explicit="DOCKER_CONTEXT" in environ)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # missing, or in another format
        if environ.get("DOCKER_CONTEXT"):
            hint = "`docker context ls` lists the contexts; unset DOCKER_CONTEXT to let envkit search for an engine"
            raise EngineError(f"DOCKER_CONTEXT={name}: there is no such context", hint=hint) from error


def _machine(environ: Mapping[str, str]) -> Iterator[Candidate]:
    """Yield the sockets of the virtual machines that `podman machine inspect` shows (macOS, Windows)."""
    podman = shutil.which("podman", path=environ.get("PATH"))
    if not podman:
        return
    try:
        found = subprocess.run([podman, "machine", "inspect"], capture_output=True, timeout=ASK_SECONDS, check=True)
        for machine in json.loads(found.stdout):
            path = (machine.get("ConnectionInfo") or {}).get("PodmanSocket", {}).get("Path", "")
            if path:
                yield Candidate(f"unix://{path}", f"podman machine {machine.get('Name', '')}", default_for="podman")
    except (OSError, ValueError, subprocess.SubprocessError):
        return


def find(engine: str, environ: Mapping[str, str]) -> Endpoint:
    """Return the first engine of the wanted kind (`docker`, `podman`, `auto`) that answers.

    Raises `EngineError` with every address that was tried and the answer from it. Raises it at once if an address that
    the user has set for this kind does not answer.
    """
    asked: list[str] = []
    for candidate in (*candidates(environ), *_machine(environ)):
        try:
            version = ask(candidate.url)
        except (OSError, ValueError) as error:
            asked.append(f"{candidate.url} ({candidate.source}): {error}")
            named = "podman" if candidate.source == "CONTAINER_HOST" else "docker"
            if candidate.explicit and engine in ("auto", named):
                raise EngineError(
                    f"{candidate.source}={candidate.url} does not answer: {error}",
                    hint=f"start that engine, or unset {candidate.source} to let envkit search for another",
                ) from error
            continue
        kind = engine_of(version)
        if engine in ("auto", kind):
            return _endpoint(candidate, version, kind)
        asked.append(f"{candidate.url} ({candidate.source}): is {kind}")
    raise EngineError(_nothing(engine, asked), hint=remedy(engine, environ))


def place(url: str) -> str:
    """Return a key of the address that is equal for all paths of one socket: `/var/run` can be a link to `/run`."""
    parts = urlsplit(url)
    return str(Path(parts.path).resolve()) if parts.scheme == "unix" else url


def find_all(engine: str, environ: Mapping[str, str]) -> tuple[list[Endpoint], dict[str, str]]:
    """Return each engine of the wanted kind that answers, once, and the errors of the addresses without answer."""
    found: dict[str, Endpoint] = {}
    silent: dict[str, str] = {}
    for candidate in (*candidates(environ), *_machine(environ)):
        key = place(candidate.url)
        if key in found:
            continue
        try:
            version = ask(candidate.url)
        except (OSError, ValueError) as error:
            silent[candidate.url] = str(error)
            continue
        kind = engine_of(version)
        if engine in ("auto", kind):
            found[key] = _endpoint(candidate, version, kind)
    return list(found.values()), silent


def holding(label: str, environ: Mapping[str, str]) -> list[Endpoint]:
    """Return the engines of this host that have a container or network with this label (`key=value`).

    To save time, it calls only unix sockets, and ignores a socket that does not answer.
    """
    found: dict[str, Endpoint] = {}
    wanted = quote(json.dumps({"label": [label]}))
    looks = [f"/containers/json?all=true&filters={wanted}", f"/networks?filters={wanted}"]
    with suppress(EngineError):  # the Docker context does not exist; the addresses before it were tried
        for candidate in candidates(environ):
            path = urlsplit(candidate.url).path
            if not candidate.url.startswith("unix://") or place(candidate.url) in found:
                continue
            with suppress(OSError, ValueError):
                version = ask(candidate.url)
                if any(_get(path, look) for look in looks):
                    found[place(candidate.url)] = _endpoint(candidate, version, engine_of(version))
    return list(found.values())


def _endpoint(candidate: Candidate, version: Mapping[str, Any], kind: EngineName) -> Endpoint:
    path = urlsplit(candidate.url).path
    rootless = path.startswith(("/run/user/", "/home/")) or (kind == "podman" and bool(os.getuid()))
    default = candidate.default_for == kind
    known = str(version.get("Version", "?")), candidate.source, rootless, default, str(version.get("Arch") or "amd64")
    oldest = str(version.get("MinAPIVersion", ""))
    in_vm = in_machine(version, sys.platform)
    return Endpoint(kind, candidate.url, *known, machine=in_vm, oldest_api=oldest if _API.fullmatch(oldest) else "")


def remembered(engine: EngineName, url: str) -> Endpoint:
    """Return the engine at an address that envkit stored earlier.

    It does not fail if the engine does not answer now; a later call to the engine reports that.
    """
    candidate = Candidate(url, "the record")
    try:
        return _endpoint(candidate, ask(url), engine)
    except (OSError, ValueError):
        return _endpoint(candidate, {}, engine)


def in_machine(version: Mapping[str, Any], platform: str) -> bool:
    """Return whether a local engine runs in a virtual machine: on Linux only Docker Desktop does, elsewhere all do."""
    return platform != "linux" or "Docker Desktop" in str((version.get("Platform") or {}).get("Name", ""))


def _nothing(engine: str, asked: list[str]) -> str:
    wanted = "no container engine" if engine == "auto" else f"no {engine} engine"
    where = (
        "".join(f"\n  - {line}" for line in asked) or "\n  - no socket found, DOCKER_HOST and CONTAINER_HOST not set"
    )
    return f"{wanted} answers; envkit tried:{where}"


def can_start(engine: str, environ: Mapping[str, str]) -> bool:
    """Return whether this host has an engine, running or not, or the user has named a kind of engine.

    An address in a variable, a socket and an installed daemon count. An installed client alone does not count.
    """
    if engine != "auto" or any(True for _ in candidates(environ)):
        return True
    path = environ.get("PATH")
    apps = [Path(f"/Applications/{name}.app") for name in ("Docker", "OrbStack", "Podman Desktop", "Rancher Desktop")]
    daemon = shutil.which("dockerd", path=path) or (sys.platform == "linux" and shutil.which("podman", path=path))
    return bool(daemon) or any(app.exists() for app in apps) or any(True for _ in _machine(environ))


def remedy(engine: str, environ: Mapping[str, str]) -> str:
    """Return a hint that says how to start an engine, if one is installed on this host, or how to install one."""
    path = environ.get("PATH")
    if engine in ("auto", "docker") and shutil.which("dockerd", path=path):
        return "Docker is installed but not running: `sudo systemctl start docker`, or `sudo service docker start`"
    if engine in ("auto", "docker") and Path("/Applications/Docker.app").exists():
        return "start Docker Desktop (`open -a Docker`)"
    if engine in ("auto", "podman") and shutil.which("podman", path=path):
        return "Podman is installed but its API service does not answer: `systemctl --user start podman.socket`"
    return "install Docker (https://docs.docker.com/engine/install/) or Podman (https://podman.io/docs/installation)"
