"""Short constructors for environments, desired states and instances, for tests of plans without effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envkit.base.owner import Owner
from envkit.config.models import Environment
from envkit.planning.facts import Instance, State
from envkit.planning.plan import Desired, Want, select


def environment(services: Mapping[str, Mapping[str, Any]], **fields: Any) -> Environment:
    """Return an environment named `t` without a cluster.

    Each service has image `i`, unless its definition says how it runs.
    """
    body = {name: _service(dict(given)) for name, given in services.items()}
    return Environment.model_validate({"name": "t", "root": "/here", "services": body, **fields})


def _service(given: dict[str, Any]) -> dict[str, Any]:
    ways = {"image", "build", "host_command", "migrations"}
    return given if ways & given.keys() else {"image": ["i"], **given}


def desired(env: Environment, *names: str, rebuild: bool = False, **wants: Want) -> Desired:
    """Return the desired state: each service has fingerprint `f` and a present image, unless `wants` says otherwise."""
    services = {
        name: wants.get(name) or Want(name, service, image="i" if service.in_container else "", fingerprint="f")
        for name, service in env.services.items()
    }
    return Desired(env, services, "cf", select(env, names), rebuild)


def instance(service: str, state: State = "running", fingerprint: str = "f", **fields: Any) -> Instance:
    """Return a container of the environment `t`."""
    return Instance(
        f"id-{service}", f"envkit-t-{service}", service, state, fingerprint, owner=Owner(checkout="/here"), **fields
    )
