"""Tests that envkit deletes a healthy cluster only if it can make the next one.

The cases are a `run` in a shell that lacks an option, and a missing kind.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import yaml

from tests.support import ports
from tests.support.box import ROOT, Box
from tests.support.engines import Engine

pytestmark = [pytest.mark.e2e, pytest.mark.kind]

WITHOUT_KIND = os.pathsep.join(
    folder for folder in os.environ["PATH"].split(os.pathsep) if not (Path(folder) / "kind").exists()
)


@dataclass
class Cluster:
    """A cluster and a Redis with data, brought up with an overlay."""

    box: Box
    file: Path
    port: int
    stranger: int
    before: tuple[dict[str, str], str, list[tuple[str, str, str]]] = ({}, "", [])

    @property
    def overlay(self) -> tuple[str, ...]:
        return ("--overlay", self.box.engine.overlay) if self.box.engine.overlay else ()

    def write(self, **cluster: object) -> None:
        text = {
            "cluster": {"type": "kind", **cluster},
            "services": {
                "redis": {"preset": "redis", "options": {"maxmemory": "64MiB"}, "ports": {"redis": self.port}}
            },
        }
        self.file.write_text(yaml.safe_dump(text))

    def seen(self) -> tuple[dict[str, str], str, list[tuple[str, str, str]]]:
        """Return ids, data, and the parts of `status` that do not change with time."""
        self.write()
        with redis.Redis(port=self.port, decode_responses=True) as store:
            key = str(store.get("kept"))
        rows = self.box("status", "--json", *self.overlay).ok().json["services"]
        return self.box.ids(), key, [(row["name"], row["state"], row["health"]) for row in rows]


@pytest.fixture(scope="module")
def cluster(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp(f"prepare-{engine.name}")
    port, stranger = ports.free(2)
    file = folder / "envkit.yaml"
    box = Box(engine, f"e2e-prep-{engine.name}", folder, ("-f", str(file)), ROOT, (port,))
    made = Cluster(box, file, port, stranger)
    made.write()
    try:
        box("up", *made.overlay, ENVKIT_OVERLAY="").ok()
        with redis.Redis(port=port) as store:
            store.set("kept", "yes")
        made.before = made.seen()
        yield made
    finally:
        left = box.close()
    assert not left, left


def test_run_without_the_overlay_and_without_kind_leaves_it(cluster: Cluster) -> None:
    if not cluster.overlay:
        pytest.fail("this test needs the overlay `standins`")
    bare = {"ENVKIT_OVERLAY": "", "PATH": WITHOUT_KIND}

    said = cluster.box("run", "--", "true", **bare)

    assert said.code == 2, said
    assert "differs from what is up: cluster: changed: node_image" in said.err, said
    assert f"it was brought up with --overlay {cluster.box.engine.overlay}: " in said.err, said
    assert cluster.seen() == cluster.before, said

    for words in (("run", "--replace", "--", "true"), ("up",)):
        said = cluster.box(*words, **bare)
        assert said.code == (125 if words[0] == "run" else 3), said
        assert "kind is not installed or not on PATH" in said.err and "--lane embedded" in said.err, said
        assert "deleting the old cluster" not in said.err, said
        assert cluster.seen() == cluster.before, said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"node_image": "localhost/nowhere/node:v1"}, "the node image cannot be had: localhost/nowhere/node:v1"),
        ({"limits": {"inflight": 801}, "images": ["localhost/nowhere/x:1"]}, "localhost/nowhere/x:1"),
        ({"limits": {"inflight": 801}, "manifests": ["broken.yaml"]}, "broken.yaml"),
        ({"ports": [{"node": 30080, "host": "STRANGER"}]}, "(wanted by cluster) is held by process"),
    ],
    ids=["node image", "local image", "manifest", "port"],
)
def test_what_fails_beforehand_leaves_it(cluster: Cluster, change: dict[str, object], says: str) -> None:
    (cluster.file.parent / "broken.yaml").write_text("kind: [\n")
    port = "ports" in change
    cluster.write(**({"ports": [{"node": 30080, "host": cluster.stranger}]} if port else change))

    with socket.create_server(("127.0.0.1", cluster.stranger)) if port else nullcontext():
        said = cluster.box("up", *cluster.overlay)

    assert said.code in (2, 3) and says in said.err, said
    assert "deleting the old cluster" not in said.err, said
    assert cluster.seen() == cluster.before, said
