"""Places for tests of real clusters: an engine, a unique name, and a check that nothing remains at the end."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from envkit.base import labels
from envkit.base.owner import Claim, here
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.config.models import Cluster
from envkit.drivers.clusters.kind import Kind
from envkit.drivers.clusters.nodes import CLUSTER_LABEL
from envkit.drivers.engine.discovery import find
from envkit.drivers.runtimes.containers import Containers
from envkit.drivers.runtimes.networks import Networks

ENGINES = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("docker", "podman")]


@dataclass
class Place:
    """An engine, an environment's name, and the folder of its files."""

    containers: Containers
    paths: Paths
    image: str | None

    @property
    def name(self) -> str:
        return self.paths.name

    @property
    def kind(self) -> Kind:
        endpoint = self.containers.endpoint
        network = labels.resource_name(self.name)
        return Kind(endpoint, self.name, network, self.paths, self.containers, node_image=self.image)

    @property
    def networks(self) -> Networks:
        return Networks(self.containers.api, self.containers.claim)

    def create(self, said: list[str] | None = None, work: Any = None, **cluster: Any) -> Any:
        report = (said if said is not None else []).append
        return self.kind.create(Cluster(**cluster), "fp", report, Cancel(), work)

    def remains(self) -> list[str]:
        """Return everything of the environment that the engine or the machine still has."""
        api: Any = self.containers.api
        mark = f"envkit-{self.name}"
        found = [row["Names"][0] for row in api.containers(all=True, filters={"label": f"{CLUSTER_LABEL}={mark}"})]
        volumes = api.volumes().get("Volumes") or []
        found += [row["Name"] for row in volumes if any(mark in key for key in row.get("Labels") or {})]
        found += [str(process.pid) for process in processes(self.name)]
        return found + [str(path) for path in (self.paths.kubeconfig,) if path.exists()]


def processes(name: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(labels.MARKER) == name and "kind" in process.name():
                yield process
        except psutil.Error:
            continue


@contextmanager
def made_on(engine: str, factory: pytest.TempPathFactory) -> Iterator[Callable[[], Place]]:
    """Yield a function that makes places with a network; at the end, remove them and check that nothing remains."""
    owner = here(factory.getbasetemp(), "/tmp")
    containers = Containers(find(engine, os.environ), Claim(owner))
    image = _node_image(containers)
    made: list[Place] = []

    def make() -> Place:
        name = f"kt-{engine[0]}{uuid.uuid4().hex[:6]}"
        place = Place(containers, Paths(factory.mktemp(name), name), image)
        place.networks.create(name, owner)
        made.append(place)
        return place

    try:
        yield make
    finally:
        for place in made:
            place.kind.delete()
            place.networks.remove_all(place.name)
    assert [place.remains() for place in made] == [[] for _ in made]
    containers.api.close()


def _node_image(containers: Containers) -> str | None:
    """Return a present node image, or None; kind then uses its default, which it may pull."""
    api: Any = containers.api
    tags = [tag for row in api.images() for tag in row.get("RepoTags") or [] if "kindest/node:" in tag]
    return max(tags, default=None)
