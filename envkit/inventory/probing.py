"""Probe running services at the ports that they really publish, once or repeatedly until a time limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from envkit.base.errors import EngineError, NotReady, ServiceDied
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel, until
from envkit.config.models import Environment, Service
from envkit.drivers import probes
from envkit.drivers.runtimes.base import FullRuntime
from envkit.planning import desired as wanted
from envkit.planning.facts import Instance
from envkit.planning.values import ThisHost

PATIENCE = 3.0
"""Seconds within which a running service must satisfy its probe. After that it counts as broken and is replaced."""


def chosen_ports(environment: Environment, instances: Mapping[str, Instance]) -> dict[str, int]:
    """Return the host ports of the instances, under the names `service.port`."""
    found = {}
    for name, instance in instances.items():
        service = environment.services.get(name)
        for port_name, port in service.ports.items() if service else ():
            if port.container in instance.published:
                found[f"{name}.{port_name}"] = instance.published[port.container]
    return found


@dataclass(frozen=True)
class Prober:
    """Checks whether the services of one environment work."""

    environment: Environment
    paths: Paths
    runtime: FullRuntime
    this_host: Callable[[], ThisHost]
    cancel: Cancel

    def health(self, name: str, instance: Instance, patience: float = PATIENCE) -> str:
        """Return why a running service does not work, or "" if its probe passes within `patience` seconds.

        The wait ends at once when the service ends. A service without a probe counts as working.
        """
        service = self.resolved(name, {name: instance})
        if service.probe is None:
            return ""
        probe, target = service.probe, self.target(service, instance)

        def attempt() -> str | None:
            if (seen := probe.attempt(target)) is not None:
                now = self.runtime.look(instance)
                if now.state in ("exited", "dead"):
                    raise ServiceDied(now.death())
            return seen

        try:
            until(attempt, what=name, seconds=patience, cancel=self.cancel)
        except (NotReady, EngineError, ServiceDied) as error:
            return error.message
        return ""

    def resolved(self, name: str, instances: Mapping[str, Instance]) -> Service:
        """Return the service with its references resolved for this host, because probes run on this host."""
        ports = chosen_ports(self.environment, instances)
        return wanted.resolve_for_host(self.environment, name, self.paths, ports, self.this_host)

    def target(self, service: Service, instance: Instance) -> probes.Target:
        """Return the target of a probe: the ports to connect to, and a function that runs a command in the service."""

        def port(name: str) -> int:
            key = name or next(iter(service.ports))
            if service.ports[key].container not in instance.published:  # the container is older than this port
                raise NotReady(f"{instance.service} does not publish its port {key}")
            return instance.published[service.ports[key].container]

        return probes.Target(port, lambda argv: self.runtime.execute(instance, argv), cancel=self.cancel)

    def address(self, service: Service, instance: Instance) -> tuple[str, int]:
        """Return the host and the port that the service's probe connects to."""
        target = self.target(service, instance)
        return target.host, target.port(getattr(service.probe, "port", ""))
