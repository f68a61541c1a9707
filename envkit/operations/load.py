"""`load`: copy images of this engine into the nodes of a running cluster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from envkit.base.abilities import able
from envkit.base.control import Control
from envkit.base.errors import UsageError
from envkit.base.events import Kind as Event
from envkit.config.models import Environment
from envkit.drivers.clusters.base import RunsPods
from envkit.inventory.drivers import Drivers
from envkit.operations.ownership import ours
from envkit.operations.state_checks import is_paused, not_up

STEP = "load"


@dataclass(frozen=True)
class Brought:
    """An image, its id on the engine, and the nodes into which it was copied. Nodes that had it are left out."""

    image: str
    id: str
    nodes: tuple[str, ...]


def load(
    environment: Environment, drivers: Drivers, control: Control, up_command: str, images: Sequence[str]
) -> list[Brought]:
    """Copy the images into each node that does not have the same image id yet, and return the result for each image.

    Raises `UsageError` if the cluster has no nodes, `NotUp` if it does not run, and `ImageUnavailable` with every image
    that this engine does not have.
    """
    if not environment.cluster.wanted:
        raise UsageError(f"environment {environment.name} has no cluster", hint="`cluster: kind` in its file gives one")
    cluster = able(drivers.cluster, RunsPods)
    if cluster is None:
        raise UsageError(
            f"the API server of lane {drivers.lane} has no nodes, so nothing could run an image there",
            hint="lane containers has a real node; in lanes mixed and embedded run the service beside it (`services:`)",
        )
    ours(environment, drivers)
    state = drivers.cluster.observe().state
    if state == "paused":
        raise is_paused(environment.name, up_command)
    if state != "running":
        raise not_up(environment.name, up_command, "the cluster")
    began, emit = time.monotonic(), control.stream.emit
    emit(Event.STARTED, STEP, "")
    done = cluster.bring_in(images, control.stream.reporter(STEP), control.cancel)
    emit(Event.DONE, STEP, f"{sum(bool(nodes) for _, nodes in done.values())} brought in", time.monotonic() - began)
    return [Brought(image, identity, tuple(nodes)) for image, (identity, nodes) in done.items()]
