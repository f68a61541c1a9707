"""Tests of cluster creations that fail, are cancelled or are killed.

envkit names the cause, and nothing remains after `delete`.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import Cancelled, PortTaken, ToolMissing
from envkit.base.waiting import Cancel, until
from envkit.config.models import Cluster
from envkit.drivers.clusters.api import Api
from tests.integration.kind_place import ENGINES, Place, made_on, processes

pytestmark = [pytest.mark.integration, pytest.mark.kind]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=ENGINES)
def places(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Place]]:
    with made_on(request.param, tmp_path_factory) as make:
        yield make


def test_a_taken_port_is_named_and_logs_are_saved(places: Callable[[], Place]) -> None:
    place = places()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)) as caught:
            place.create(ports=[{"node": 30081, "host": port}])
    assert caught.value.hint
    assert (place.paths.logs / "kind-create.log").read_text()
    place.kind.delete()
    assert place.remains() == []


def test_a_missing_kind_is_said_with_the_remedy(places: Callable[[], Place]) -> None:
    kind = places().kind
    kind.program = "no-such-kind"
    with pytest.raises(ToolMissing, match="not installed") as caught:
        kind.create(Cluster(), "fp", lambda _: None, Cancel())
    assert "install" in caught.value.hint


def test_a_cancelled_creation_stops_at_once_and_leaves_nothing(places: Callable[[], Place]) -> None:
    place, cancel, seen = places(), Cancel(), []

    def report(message: str) -> None:
        if "Starting control-plane" in message:
            seen.append(time.monotonic())
            cancel.set(15)

    with pytest.raises(Cancelled):
        place.kind.create(Cluster(), "fp", report, cancel)
    assert time.monotonic() - seen[0] < 5
    assert list(processes(place.name)) == []
    assert place.kind.observe().fingerprint == ""
    api: Any = place.containers.api
    api.pause(f"envkit-{place.name}-control-plane")
    assert place.kind.delete()
    assert place.kind.delete() == []
    assert place.remains() == []


CHILD = """
import sys
from pathlib import Path
from envkit.base import labels
from envkit.drivers.clusters.kind import Kind
from envkit.config.models import Cluster
from envkit.base.owner import Claim, here
from envkit.base.paths import Paths
from envkit.drivers.runtimes.containers import Containers
from envkit.drivers.engine.endpoint import Endpoint
from envkit.base.waiting import Cancel
engine, url, name, home, owned, image = sys.argv[1:]
endpoint = Endpoint(engine, url, "", "test", default=True)
claim = Claim(here(Path(owned), "/tmp"))
network, containers = labels.resource_name(name), Containers(endpoint, claim)
kind = Kind(endpoint, name, network, Paths(Path(home), name), containers, node_image=image or None)
kind.create(Cluster(), "fp", lambda message: print(message, flush=True), Cancel())
"""


@pytest.mark.parametrize("moment", ["Preparing nodes", "Starting control-plane"])
def test_a_killed_creation_leaves_nothing_after_delete(places: Callable[[], Place], moment: str) -> None:
    place = places()
    endpoint = place.containers.endpoint
    owned = place.containers.claim.owner.home
    argv = [sys.executable, "-c", CHILD, endpoint.engine, endpoint.url, place.name, str(place.paths.home), owned]
    with subprocess.Popen(
        [*argv, place.image or ""], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout
        said = ""
        for line in child.stdout:
            said += line
            if moment in line:
                break
        child.kill()
    assert moment in said, said
    assert list(processes(place.name)), "kind outlives its killed parent, which is what delete must cope with"
    place.kind.delete()
    assert place.remains() == []
    time.sleep(2)
    assert place.remains() == []


def test_a_half_made_cluster_has_no_mark_and_is_replaced(places: Callable[[], Place]) -> None:
    place, cancel = places(), Cancel()
    with pytest.raises(Cancelled):
        place.kind.create(Cluster(), "fp", lambda said: cancel.set(2) if "Starting control" in said else None, cancel)
    said: list[str] = []
    assert place.create(said=said).fingerprint == "fp"
    assert "removing what an earlier attempt left" in said
    until(Api.of(place.paths.kubeconfig).readyz, what="the new API server", seconds=5)
