"""Checks whether the ports that an engine publishes on 127.0.0.1 can be reached on the 127.0.0.1 of this process.

A job in a container cannot reach them if the engine is a Docker service (`DOCKER_HOST=tcp://docker:2375`) or if the
host's socket is mounted. `check` raises an error in two cases only. Either the engine's address is not an address of
this host, or the engine reports that this process runs in one of its containers, without the host's network. `check`
raises no error for a dev container with the host's network, Docker Desktop, WSL 2, rootless engines and a tunnel to
127.0.0.1.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from envkit.base.deadline import Deadline
from envkit.base.deadline_http import UnixConnection, ask
from envkit.base.errors import EngineError
from envkit.drivers.engine.discovery import ASK_SECONDS
from envkit.drivers.engine.endpoint import Endpoint

MOUNTS = Path("/proc/self/mountinfo")
OWN = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
"""Files that engines mount into each container, from a folder on the host whose path has the container's id."""

HOPS = 3
"""Largest number of containers to inspect in a chain in which each container shares the network of the next one."""

EMBEDDED = "--lane embedded runs everything as processes beside this one, and needs no engine"


def check(endpoint: Endpoint) -> None:
    """Raise `EngineError`, with a hint, if this process cannot reach the ports that the engine publishes."""
    if endpoint.url.startswith("unix://"):
        _check_own_container(endpoint)
    elif not endpoint.local and not _here(endpoint.url):
        raise EngineError(
            f"ports of 127.0.0.1 at {endpoint.url} cannot be reached from here: "
            "that engine is on another machine, or in another container",
            hint=f"{EMBEDDED}\nor run envkit where the engine is: in a job on the runner itself, without a container",
        )


def _check_own_container(endpoint: Endpoint) -> None:
    own = own_container()
    network = _network(endpoint, own) if own else "host"
    if network == "host":
        return
    raise EngineError(
        f"this is container {own[:12]} of the engine at {endpoint.url}, in network {network}: "
        "ports that it publishes are on the host's 127.0.0.1, not on this one",
        hint=f"{EMBEDDED}\nor give this container the host's network (`--network host`), or run envkit outside of it",
    )


def own_container(mounts: Path = MOUNTS) -> str:
    """Return the id of the Docker or Podman container in which this process runs, or an empty string.

    It also compares the mount points with `OWN`: on a host that runs containers, other mounts have their ids as well.
    """
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        _, _, _, root, place, *_ = line.split()
        found = re.search(r"/containers/([0-9a-f]{64})/|/overlay-containers/([0-9a-f]{64})/", root)
        if place in OWN and found:
            return found[1] or found[2]
    return ""


def _network(endpoint: Endpoint, container: str) -> str:
    """Return the network of a container, or `host` if the engine has no such container or does not answer."""
    for _ in range(HOPS):
        found = _inspected(endpoint, container)
        mode = str((found.get("HostConfig") or {}).get("NetworkMode") or "host")
        if not mode.startswith("container:"):
            return "host" if mode.startswith("ns:") else mode
        container = mode.partition(":")[2]
    return "host"


def _inspected(endpoint: Endpoint, container: str) -> dict[str, Any]:
    connection = UnixConnection(urlsplit(endpoint.url).path, Deadline(ASK_SECONDS))
    try:
        got = ask(connection, "GET", f"/containers/{container}/json")
        answer = json.loads(got.data)
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    finally:
        connection.close()
    return answer if got.status == http.HTTPStatus.OK and isinstance(answer, dict) else {}


def _here(url: str) -> bool:
    """Return whether the URL leads to this host.

    A host name that does not resolve counts as this host, because nothing proves the opposite. In an ssh URL it counts
    as another host, because ssh's configuration can define the name.
    """
    import psutil

    parts = urlsplit(url)
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(parts.hostname, None)}
    except OSError:
        return parts.scheme != "ssh"
    own = {address.address for rows in psutil.net_if_addrs().values() for address in rows}
    return any(one in own or one.startswith("127.") or one == "::1" for one in found)
