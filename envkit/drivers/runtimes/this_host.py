"""Finds the address at which services, nodes and pods of an environment reach a listener on this host."""

from __future__ import annotations

import socket
from collections.abc import Callable

from envkit.base.ports import LOOPBACK
from envkit.drivers.engine.endpoint import Endpoint
from envkit.planning.values import ThisHost

ALIAS = "host.docker.internal"
"""The name of this host in Docker Desktop's name server. envkit gives its containers this name on every engine."""

PODMAN_ALIAS = "host.containers.internal"

ELSEWHERE = ("192.0.2.1", 9)
"""A reserved address (RFC 5737) and a port. To connect a datagram socket to it sends nothing, but makes the kernel
choose the local address."""


def this_host(endpoint: Endpoint | None, gateway: Callable[[], str]) -> ThisHost:
    """Return the address at which services reach this host, and the address on which to listen for them.

    `gateway` returns the gateway of the environment's network. Both are empty for an engine on another machine.
    Processes use 127.0.0.1. Containers of an engine on this kernel use the network's gateway: an address of this host
    that other hosts cannot reach. Containers in a virtual machine (Docker Desktop, podman machine, Colima) use a host
    name that leads to this host's 127.0.0.1. Containers of a rootless engine use this host's outgoing address or, with
    Podman, a name for it, because their network reaches no other address of this host.
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
    """Return the address from which this host connects to other hosts; empty if it has no route to them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
        except OSError:
            return ""
        return str(probe.getsockname()[0])
