"""The way back: how services, nodes and pods of an environment reach a listener of the user's on this host."""

from __future__ import annotations

import socket
from collections.abc import Callable

from envkit.base.ports import LOOPBACK
from envkit.drivers.engine.endpoint import Endpoint
from envkit.planning.values import ThisHost

ALIAS = "host.docker.internal"
"""What Docker Desktop's name server calls the host. Containers of ours know it on every engine."""

PODMAN_ALIAS = "host.containers.internal"

ELSEWHERE = ("192.0.2.1", 9)
"""An address of nobody's (RFC 5737). To connect a datagram socket sends nothing, and tells the address it would use."""


def this_host(endpoint: Endpoint | None, gateway: Callable[[], str]) -> ThisHost:
    """By what stands between them and this host; `gateway` asks for that of the environment's network.

    Processes: nothing. An engine of this kernel: a bridge, whose address on this host is the network's gateway and
    reached by nobody outside. A virtual machine (Docker Desktop, podman machine, Colima): a name that leads to this
    host's 127.0.0.1. A rootless engine: a network of its own, which reaches this host by its outward address only.
    """
    if endpoint is None:
        return ThisHost(LOOPBACK, LOOPBACK)
    if not endpoint.local:
        return ThisHost()
    name = PODMAN_ALIAS if endpoint.engine == "podman" else ALIAS
    if endpoint.machine:
        return ThisHost(name, LOOPBACK)
    if endpoint.rootless:
        own = outward()
        return ThisHost(name if own and endpoint.engine == "podman" else own, own)
    address = gateway()
    return ThisHost(address, address)


def outward() -> str:
    """The address with which this host reaches others, empty when it reaches none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
        except OSError:
            return ""
        return str(probe.getsockname()[0])
