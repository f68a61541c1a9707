"""`load`: images of this engine, brought into the nodes of a cluster that runs."""

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
    """An image, its id on the engine, and the nodes that lacked it."""

    image: str
    id: str
    nodes: tuple[str, ...]


def load(
    environment: Environment, drivers: Drivers, control: Control, up_command: str, images: Sequence[str]
) -> list[Brought]:
    """Bring them in; a node that has one with the same id keeps it.

    Raises `UsageError` where the cluster has no nodes, `NotUp` where none runs, `ImageUnavailable` naming every image
    that this engine has not.
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
