"""References that a file alone can answer, answered once: a probe's `${self.env.POSTGRES_USER}`."""

from __future__ import annotations

from envkit.config.models import Environment, Probe, Service
from envkit.config.references import Scope, UnresolvedReference
from envkit.config.resolution import resolved_probe


class _Nowhere:
    """The addressing of a file: it knows none."""

    def host(self, _service: str) -> str:
        """Raises `UnresolvedReference`."""
        raise UnresolvedReference("addresses are known when it runs")

    def port(self, _service: str, _port: str) -> int:
        """Raises `UnresolvedReference`."""
        raise UnresolvedReference("ports are known when it runs")

    def place(self, _service: str, _what: str) -> str:
        """Raises `UnresolvedReference`."""
        raise UnresolvedReference("places are known when it runs")


def settled(environment: Environment) -> Environment:
    """The environment with its probes resolved where no address, token or cluster is needed for it."""
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
