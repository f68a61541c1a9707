"""Tests of the user's own images, loaded into the node of the shared environment."""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Iterator

import pytest

from envkit.drivers.engine.discovery import find
from tests.support.box import Box
from tests.support.registry import done

pytestmark = [pytest.mark.e2e, pytest.mark.kind]


@pytest.fixture
def own(gateway: Box) -> Iterator[str]:
    """Yield an image that only this engine has; the image has no base image."""
    engine = gateway.engine
    name = f"localhost/{uuid.uuid4().hex[:10]}/job:dev"
    arch = find(engine.name, {"DOCKER_HOST": engine.url} if engine.name == "docker" else {}).arch
    files = {"Dockerfile": b'FROM scratch\nCOPY done /done\nCMD ["/done"]\n', "done": done(arch)}
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    context.seek(0)
    rows = list(engine.api.build(fileobj=context, custom_context=True, tag=name, rm=True, decode=True))
    assert not [row for row in rows if "error" in row], rows
    yield name
    engine.api.remove_image(name)


def test_an_image_of_this_engine_is_brought_into_the_node_once(gateway: Box, own: str) -> None:
    node = gateway.ids()["cluster"]
    first = gateway("load", own, "--json").ok().json["images"]
    assert [(row["image"], len(row["brought_into"])) for row in first] == [(own, 1)]
    assert own in gateway.engine.execute(node, "ctr", "-n", "k8s.io", "images", "list", "-q").split()

    again = gateway("load", own).ok()
    assert again.out == f"{own}: is already present\n"


def test_every_image_that_is_missing_is_named_at_once(gateway: Box) -> None:
    said = gateway("load", "localhost/nobody/one:1", "localhost/nobody/two:2")
    assert said.code == 3 and "localhost/nobody/one:1, localhost/nobody/two:2" in said.err, said


def test_what_the_environment_is_started_from_is_here(gateway: Box) -> None:
    """The list includes the node's image, and envkit pulls no image that is present."""
    listed = {row["used_by"][0]: row for row in gateway("images", "--json").ok().json["images"]}
    assert {"redis", "postgres", "datastorage", "cluster"} <= set(listed)
    node = gateway.engine.inspect(gateway.name, "cluster")
    assert (listed["cluster"]["role"], listed["cluster"]["id"]) == ("node", node["Image"])
    assert {row["result"] for row in gateway("images", "pull", "--json").ok().json["images"]} == {"here"}
