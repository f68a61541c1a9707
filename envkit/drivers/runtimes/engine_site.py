"""A container engine as a site: finds the containers, networks and nodes of every environment on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from envkit.base import labels
from envkit.base.owner import Claim
from envkit.base.paths import Paths
from envkit.drivers.engine.discovery import find_all, holding, place, remembered
from envkit.drivers.engine.endpoint import Endpoint, EngineName
from envkit.drivers.runtimes.base import Renewing
from envkit.drivers.runtimes.sites import Opened, Recorded, Search, Sites, Trace
from envkit.planning.facts import Instance


@dataclass(frozen=True)
class EngineSite:
    """A container engine, for `down` and `list`; implements `sites.Site`."""

    endpoint: Endpoint
    grace: float = 0.0

    @property
    def where(self) -> str:
        """The engine's name."""
        return self.endpoint.engine

    @property
    def address(self) -> str:
        """The engine's address."""
        return self.endpoint.url

    def traces(self, node_labels: Sequence[str]) -> Iterator[Trace]:
        """Yield the networks and containers with envkit's label, and the nodes of clusters in these networks."""
        from envkit.drivers.engine.sdk import connect, translated

        api = connect(self.endpoint)
        try:
            with translated("listing what is labelled"):
                networks = api.networks(filters={"label": labels.ENV})
                services = api.containers(all=True, filters={"label": labels.ENV})
                nodes = {label: api.containers(all=True, filters={"label": label}) for label in node_labels}
        finally:
            api.close()
        for row in networks:
            yield self._network(row)
        for row in services:
            yield self._container(row, "container", row["Labels"][labels.ENV])
        ours = {str(row["Name"]): str(row["Labels"][labels.ENV]) for row in networks}
        for label, rows in nodes.items():
            for row in rows:
                for network in (row.get("NetworkSettings") or {}).get("Networks") or {}:
                    if network in ours and row["Labels"][label] == labels.resource_name(ours[network]):
                        yield self._container(row, "node", ours[network])

    @contextmanager
    def open(self, _paths: Paths, claim: Claim) -> Iterator[Opened]:
        """Yield the runtime on this engine, and close its client at the end."""
        from envkit.drivers.runtimes.containers import Containers
        from envkit.drivers.runtimes.networks import Networks

        runtime = Containers(self.endpoint, claim)
        try:
            yield Opened(runtime, lambda name: Networks(runtime.api, claim).remove_all(name))
        finally:
            runtime.api.close()

    def is_at(self, address: str, home: Path) -> bool:
        """Return whether `address` is the address of this engine.

        An address in the state directory `home` belongs to a Podman service that envkit started for one command.
        For it the result is true on every Podman engine, because all API services of Podman show the same containers.
        """
        if place(address) == place(f"unix://{home / 'podman.sock'}"):
            return self.endpoint.engine == "podman"
        return place(address) == place(self.endpoint.url)

    def describe(self, instance: Instance) -> str:
        """Return the container's name with the engine."""
        return f"{instance.name} ({self.where})"

    def _network(self, row: Mapping[str, Any]) -> Trace:
        marks = row.get("Labels") or {}
        ends = str(marks.get(labels.EXPIRES, ""))
        return Trace(
            marks[labels.ENV], "network", str(row["Name"]), self.where, "", labels.owner_of(marks),
            expires=float(ends) if ends.isdecimal() else 0.0, job=str(marks.get(labels.JOB, "")),
        )  # fmt: skip

    def _container(self, row: Mapping[str, Any], kind: Literal["container", "node"], environment: str) -> Trace:
        marks = row.get("Labels") or {}
        names = row.get("Names") or [row["Id"][:12]]
        created = row.get("Created") or 0
        return Trace(
            environment, kind, str(names[0]).lstrip("/"), self.where, str(row.get("State", "")).lower(),
            labels.owner_of(marks), began=float(created) if isinstance(created, int | float) else 0.0,
        )  # fmt: skip


def find(search: Search) -> Sites:
    """Return the engines that answer.

    If the environment's files name no engine (`search.known` is empty), returns only engines that have a container or
    network with the environment's label. There can be such engines, because the files can be out of date.
    """
    if search.known is None or search.known:
        endpoints, silent = find_all(search.engine, search.environ)
    else:
        endpoints, silent = holding(f"{labels.ENV}={search.environment}", search.environ), {}
    return Sites([EngineSite(endpoint) for endpoint in endpoints], silent)


@contextmanager
def reopen(recorded: Recorded) -> Iterator[Renewing]:
    """Yield the runtime on the recorded engine. If Podman's API does not run, run it while this context is open."""
    from envkit.base.events import Stream
    from envkit.drivers.engine.podman_service import serving
    from envkit.drivers.runtimes.containers import Containers

    with serving(recorded.engine, recorded.environ, recorded.paths, Stream([])):
        endpoint = remembered(cast("EngineName", recorded.engine), recorded.engine_url)
        runtime = Containers(endpoint, recorded.claim)
        try:
            yield runtime
        finally:
            runtime.api.close()
