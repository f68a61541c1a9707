"""Tests of images from a failing registry, from a mirror, and on an engine without network.

The registry is a real one on loopback.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from docker.errors import APIError, NotFound

from envkit.drivers.engine.discovery import find
from tests.e2e.conftest import DOCKER
from tests.support.box import ROOT, Box, Small
from tests.support.engines import Engine
from tests.support.registry import CUT, Registry, done, serving

pytestmark = pytest.mark.e2e


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as made:
        yield made


@pytest.fixture
def unique(engine: Engine) -> Iterator[str]:
    """Yield a new word that is part of the path of each image that the test makes."""
    word = uuid.uuid4().hex[:10]
    yield word
    forget(engine, word)


def forget(engine: Engine, unique: str) -> None:
    """Remove the images of one test by their full names, without force, because other tests share the engines."""
    assert re.fullmatch(r"[0-9a-f]{10}", unique), unique
    ours = re.compile(rf"[^@\s]*/({unique}/|own-{unique}:)\S+")
    for row in engine.api.images():
        for name in [*(row.get("RepoTags") or []), *(row.get("RepoDigests") or [])]:
            if ours.fullmatch(name):
                with suppress(NotFound, APIError):
                    engine.api.remove_image(name)


def arch(engine: Engine) -> str:
    return find(engine.name, {"DOCKER_HOST": engine.url} if engine.name == "docker" else {}).arch


def asked(engine: Engine) -> int:
    """Return how often one pull requests a manifest: Docker sends a HEAD request first."""
    return 2 if engine.name == "docker" else 1


def job(image: str) -> str:
    """Return the definition of a service that ends at once."""
    return f"{{image: '{image}', once: true}}"


# Pulls


def test_up_pulls_from_a_registry_that_stumbles(unique: str, small: Small, engine: Engine, registry: Registry) -> None:
    image = f"{registry.host}/{unique}/job:1"
    registry.add(f"{unique}/job", "1", unique, arch(engine))
    registry.fail(f"{unique}/job", *[503] * asked(engine), *[CUT] * asked(engine))
    box = small(f"cluster: none\nservices: {{job: {job(image)}}}")

    said = box("up").ok()

    assert "503 Service Unavailable; trying again in 1 s" in said.err, said
    assert "(try 3)" in said.err


def test_each_image_has_its_own_result(unique: str, small: Small, engine: Engine, registry: Registry) -> None:
    """In one pull of several images, envkit retries the busy one and requests refused or absent ones only once."""
    for name in ("busy", "private", "closed"):
        registry.add(f"{unique}/{name}", "1", f"{unique} {name}", arch(engine))
    registry.fail(f"{unique}/busy", 429, 429, Retry_After="1")
    registry.fail(f"{unique}/private", *[401] * 9)
    registry.fail(f"{unique}/closed", *[403] * 9)
    names = ("busy", "private", "closed", "absent")
    services = "".join(f"\n  {name}: {job(f'{registry.host}/{unique}/{name}:1')}" for name in names)
    box = small(f"cluster: none\nservices:{services}\n")

    said = box("images", "pull", "--json")

    assert said.code == 3, said
    found = {row["used_by"][0]: row for row in said.json["images"]}
    assert {name: row["result"] for name, row in found.items()} == {
        "busy": "pulled", "private": "failed", "closed": "failed", "absent": "failed",
    }, said  # fmt: skip
    assert found["busy"]["id"].startswith("sha256:") and found["busy"]["size"]
    assert "unauthorized" in found["private"]["said"] and "denied" in found["closed"]["said"]
    assert [registry.asked_for(f"{unique}/{name}") for name in ("private", "closed", "absent")] == [asked(engine)] * 3
    listed = {row["used_by"][0]: row["here"] for row in box("images", "--json").ok().json["images"]}
    assert listed == {"busy": True, "private": False, "closed": False, "absent": False}


# To a machine without network


def text(registry: Registry, unique: str, digest: str) -> str:
    return f"""\
cluster: none
mirrors: {{hub.example: "http://{registry.host}/copy"}}
services:
  plain: {job(f"hub.example/{unique}/plain:1")}
  pinned: {job(f"hub.example/{unique}/pinned@{digest}")}
  own-{unique}: {{build: {{context: {unique}}}, once: true}}
"""


def box_on(engine: Engine, folder: Path, configuration: str) -> Box:
    (folder / "envkit.yaml").write_text(configuration)
    return Box(engine, f"e2e-off-{uuid.uuid4().hex[:6]}", folder, ("-f", str(folder / "envkit.yaml")), ROOT)


@pytest.mark.podman
@pytest.mark.parametrize("engine", DOCKER, indirect=True)
def test_what_docker_saved_is_all_that_podman_needs(engine: Engine, unique: str, tmp_path: Path) -> None:
    """When the archive arrives, the registry and the images on the first engine are gone."""
    podman = Engine("podman")
    context = tmp_path / unique
    context.mkdir()
    (context / "done").write_bytes(done(arch(engine)))
    (context / "done").chmod(0o755)
    (context / "Dockerfile").write_text('FROM scratch\nCOPY done /done\nCMD ["/done"]\n')
    archive = tmp_path / "all.tar"
    with serving() as registry:
        registry.add(f"copy/{unique}/plain", "1", f"{unique} plain", arch(engine))
        digest = registry.add(f"copy/{unique}/pinned", "1", f"{unique} pinned", arch(engine))
        configuration = text(registry, unique, digest)
        box = box_on(engine, tmp_path, configuration)
        saved = box("images", "save", str(archive), "--json").ok().json
    assert saved["platform"] == f"linux/{arch(engine)}"
    references = [row["reference"] for row in saved["images"]]
    assert len(references) == 3 and any(name.endswith(digest.replace(":", "-")) for name in references)
    pulled = [name for row in engine.api.images() for name in row.get("RepoTags") or []]
    assert f"hub.example/{unique}/plain:1" in pulled and not any(registry.host in name for name in pulled)

    other = box_on(podman, tmp_path, configuration)
    try:
        nothing_of_a_broken_one(other, podman, archive, unique)
        first, again = (other("images", "load", str(archive), "--json").ok().json["loaded"] for _ in range(2))
        assert {row["result"] for row in first} == {"loaded"} and {row["result"] for row in again} == {"kept"}
        tags = [name for row in podman.api.images() for name in row.get("RepoTags") or []]
        assert {name for name in tags if f"own-{unique}" in name} <= set(references), "a name that nobody asked for"
        assert not [step for step in other.plan() if step.startswith("image")], "nothing to pull or to build"
        other("up").ok()
        there = {row["used_by"][0]: row["id"] for row in other("images", "--json").ok().json["images"]}
        assert there == {row["used_by"][0]: row["id"] for row in saved["images"]}
        forget(engine, unique)
        box("images", "load", str(archive)).ok()
        box("up").ok()
    finally:
        left = [*other.close(), *box.close()]
        forget(podman, unique)
        podman.close()
    assert not left, left


def nothing_of_a_broken_one(box: Box, engine: Engine, archive: Path, unique: str) -> None:
    """Check that envkit refuses an archive with one changed byte and loads nothing of it."""
    whole = archive.read_bytes()
    where = whole.index(f"{unique} plain".encode())
    bad = archive.with_name("bad.tar")
    bad.write_bytes(whole[:where] + b"X" + whole[where + 1 :])
    said = box("images", "load", str(bad))
    assert said.code == 3 and "is damaged" in said.err and "nothing was loaded" in said.err, said
    assert not [name for row in engine.api.images() for name in row.get("RepoTags") or [] if unique in name]


@pytest.mark.parametrize("engine", DOCKER, indirect=True)
def test_a_cluster_without_nodes_takes_no_image(small: Small, engine: Engine) -> None:
    box = small("cluster: envtest\nservices: {}\n")
    said = box("load", "shop/api:dev")
    assert said.code == 2 and "has no nodes" in said.err, said
    said = small("cluster: none\nservices: {}\n")("load", "shop/api:dev")
    assert said.code == 2 and "has no cluster" in said.err, said
