"""Resolve references in probes if only the configuration is needed for them, as for `${self.env.POSTGRES_USER}`."""

from __future__ import annotations

from envkit.config.models import Environment, Probe, Service
from envkit.config.references import Scope, UnresolvedReference
from envkit.config.resolution import resolved_probe


class _Nowhere:
    """An `Addressing` without addresses: each method raises `UnresolvedReference`."""

    def host(self, _service: str) -> str:
        """Raise `UnresolvedReference`: a host is known only while the service runs."""
        raise UnresolvedReference("addresses are known only while the service runs")

    def port(self, _service: str, _port: str) -> int:
        """Raise `UnresolvedReference`: a port is known only while the service runs."""
        raise UnresolvedReference("ports are known only while the service runs")

    def place(self, _service: str, _what: str) -> str:
        """Raise `UnresolvedReference`: a folder is known only while the service runs."""
        raise UnresolvedReference("folders are known only while the service runs")


def resolve_probes(environment: Environment) -> Environment:
    """Return the environment with each probe resolved, unless the probe needs an address, a token or the cluster."""
    services = {name: _service(service, environment, name) for name, service in environment.services.items()}
    return environment.model_copy(update={"services": services})


def _service(service: Service, environment: Environment, name: str) -> Service:
    scope = Scope(environment, _Nowhere(), name, {"env.name": environment.name})
    probes = {"probe": _probe(service.probe, scope), "first_probe": _probe(service.first_probe, scope)}
    return service.model_copy(update=probes)


def _probe(probe: Probe | None, scope: Scope) -> Probe | None:
    try:
        return probe and resolved_probe(probe, scope)
    except UnresolvedReference:
        return probe
