"""Builds the request with which envkit creates a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envkit.base import labels
from envkit.base.ports import LOOPBACK
from envkit.drivers.runtimes.base import Unit

if TYPE_CHECKING:
    from docker import APIClient


def request(api: APIClient, unit: Unit, name: str) -> dict[str, Any]:
    """Return the arguments of `create_container` for the unit."""
    service = unit.service
    host = api.create_host_config(
        port_bindings={f"{inner}/tcp": (LOOPBACK, outer or None) for inner, outer in unit.host_ports.items()},
        mem_limit=service.memory,
        memswap_limit=service.memory,  # equal to mem_limit, so the container gets no swap
        shm_size=service.shm,
        tmpfs=dict.fromkeys(service.tmpfs, ""),
        cap_add=list(service.capabilities) or None,
        extra_hosts=dict(unit.hosts) or None,
        network_mode=labels.resource_name(unit.environment),
    )
    alias = api.create_endpoint_config(aliases=[unit.name])
    marks = {labels.SERVICE: unit.name, labels.FINGERPRINT: unit.fingerprint, labels.IMAGE: unit.image}
    return {
        "image": unit.image,
        "name": name,
        "hostname": unit.name,
        "command": list(service.command) if service.command is not None else None,
        "entrypoint": list(service.entrypoint) if service.entrypoint is not None else None,
        "user": service.user,
        "working_dir": service.workdir,
        "environment": dict(service.env),
        "ports": [(port.container, "tcp") for port in service.ports.values()],
        "labels": labels.owned(unit.environment, "service", unit.owner, **marks),
        "host_config": host,
        "networking_config": {"EndpointsConfig": {labels.resource_name(unit.environment): alias}},
    }  # fmt: skip
