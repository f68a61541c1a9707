"""Whether ports that an engine publishes on 127.0.0.1 are on *this* 127.0.0.1.

They are not in a job that runs in a container: beside a Docker service (`DOCKER_HOST=tcp://docker:2375`), or with the
host's socket handed in. Only what is certain is said: an address that is no address of this machine, or the engine
itself telling that this process is in a container of its own that has another network than the host's. A dev container
with the host's network, Docker Desktop, WSL 2, rootless engines and a tunnel to 127.0.0.1 give neither.
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
"""Files that engines put into each container, from a folder that is named after it."""

HOPS = 3
"""Containers that borrow the network of one that borrows it, followed so far."""

EMBEDDED = "--lane embedded runs everything as processes beside this one, and needs no engine"


def check(endpoint: Endpoint) -> None:
    """Raise `EngineError`, with the remedy, when nothing that this engine publishes can be reached from here."""
    if endpoint.url.startswith("unix://"):
        _check_own_container(endpoint)
    elif not endpoint.local and not _here(endpoint.url):
        raise EngineError(
            f"ports of 127.0.0.1 at {endpoint.url} cannot be reached from here: "
            "that engine is on another machine, or in another container",
            hint=f"{EMBEDDED}\nor work where the engine is: a job on the runner itself, without a container of its own",
        )


def _check_own_container(endpoint: Endpoint) -> None:
    own = own_container()
    network = _network(endpoint, own) if own else "host"
    if network == "host":
        return
    raise EngineError(
        f"this is container {own[:12]} of the engine at {endpoint.url}, in network {network}: "
        "ports that it publishes are on the host's 127.0.0.1, not on this one",
        hint=f"{EMBEDDED}\nor give this container the host's network (`--network host`), or work outside of it",
    )


def own_container(mounts: Path = MOUNTS) -> str:
    """The id of the container that this process is in, as Docker and Podman show it; empty outside, or elsewhere.

    A host that runs containers shows their ids as well, but mounted in other places.
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
    """The network of one of the engine's own containers; `host` also where it knows none of that id, or cannot tell."""
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
    """Whether it leads to this machine. Nobody can say otherwise of a name that is unknown here, but for ssh's own."""
    import psutil

    parts = urlsplit(url)
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(parts.hostname, None)}
    except OSError:
        return parts.scheme != "ssh"
    own = {address.address for rows in psutil.net_if_addrs().values() for address in rows}
    return any(one in own or one.startswith("127.") or one == "::1" for one in found)
