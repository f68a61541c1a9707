"""Finds the address at which services, nodes and pods of an environment reach a listener on this host."""

from __future__ import annotations

import socket
from collections.abc import Callable

from envkit.base.ports import LOOPBACK
from envkit.drivers.engine.endpoint import Endpoint
from envkit.planning.values import ThisHost

ALIAS = "host.docker.internal"
"""The name of the host in Docker Desktop's name server. envkit adds it to its containers on every engine."""

PODMAN_ALIAS = "host.containers.internal"

ELSEWHERE = ("192.0.2.1", 9)
"""A reserved address (RFC 5737). Connecting a datagram socket to it sends nothing, but selects the local address."""


def this_host(endpoint: Endpoint | None, gateway: Callable[[], str]) -> ThisHost:
    """Return the address for services and the address on which to listen; `gateway` returns the network's gateway.

    Processes use 127.0.0.1. Containers of an engine on this kernel use the network's gateway: an address of this host
    that other hosts cannot reach. Containers in a virtual machine (Docker Desktop, podman machine, Colima) use a host
    name that leads to this host's 127.0.0.1. Containers of a rootless engine use this host's outgoing address, because
    their network reaches no other address of this host.
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
    """Return the address from which this host connects to others; empty if it has no route to them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
        except OSError:
            return ""
        return str(probe.getsockname()[0])
