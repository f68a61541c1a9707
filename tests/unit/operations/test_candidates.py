"""Tests of several candidate images: which one envkit takes, what it prints, and which credentials the pull uses."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import ImageUnavailable
from envkit.base.events import Event, Kind
from envkit.base.waiting import Cancel
from envkit.config.load import Request, load
from envkit.config.models import Service
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.engine.sdk import connect
from envkit.drivers.runtimes.fake import FakeEngine
from envkit.drivers.supply.images import Images
from tests.support.fake_session import opened
from tests.support.operations import up

LOADED, PULLED = "localhost/shop:ci", "r.example/shop:2"
TEXT = """
services:
  shop:
    image: ["localhost/shop:${CI_TAG}", "${REGISTRY}/shop:${TAG}"]
    build: {context: "${SOURCE}", args: {A: "${ARGUMENT:-1}"}}
    command: [sleep, "1000"]
"""
CI = {"CI_TAG": "ci"}
REGISTRY = {"REGISTRY": "r.example", "TAG": "2"}


class Shop:
    """A folder with a configuration, and an engine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.engine = folder, FakeEngine()
        self.events: list[Event] = []
        (folder / "envkit.yaml").write_text(TEXT)
        (folder / "src").mkdir()
        (folder / "src/Dockerfile").write_text("FROM scratch\n")

    @property
    def source(self) -> dict[str, str]:
        return {"SOURCE": str(self.folder / "src")}

    def service(self, **environ: str) -> Service:
        return load(Request(cwd=self.folder, environ=environ, name="t")).services["shop"]

    def up(self, **environ: str) -> str:
        """Bring the environment up and return the image that it runs from."""
        environment = load(Request(cwd=self.folder, environ=environ, name="t"))
        up(opened(environment, self.folder / "home", self.engine, sink=self.events.append))
        (instance,) = self.engine.observe("t")
        return instance.image

    def did(self, what: str) -> list[str]:
        return [which for did, which in self.engine.calls if did == what]

    def said(self) -> str:
        done = [event for event in self.events if event.kind is Kind.DONE and event.step == "shop"]
        return done[-1].message


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.engine.close()


def test_candidates_without_their_variables_are_skipped(shop: Shop) -> None:
    assert shop.service(**CI).image == (LOADED,)
    assert shop.service(**CI).build is None
    found = shop.service(**REGISTRY, **shop.source)
    assert found.image == (PULLED,)
    assert found.build is not None
    assert found.skipped == ("localhost/shop:${CI_TAG}: CI_TAG is not set",)
    alone = shop.service(**shop.source)
    assert (alone.image, bool(alone.build)) == ((), True)
    assert shop.service(**CI, REGISTRY="", TAG="2").image == (LOADED,)


def test_what_is_loaded_goes_before_the_registry(shop: Shop) -> None:
    shop.engine.images.there[LOADED] = "sha256:1"
    shop.engine.images.registry[PULLED] = "sha256:2"
    assert shop.up(**CI, **REGISTRY, **shop.source) == LOADED
    assert not shop.did("pull") and not shop.did("build")
    assert f"{LOADED} is here" in shop.said()


def test_the_registry_goes_before_a_build_even_one_that_is_here(shop: Shop) -> None:
    built = shop.up(**shop.source)
    assert built.startswith("localhost/envkit/shop:")
    shop.engine.images.registry[PULLED] = "sha256:2"
    assert shop.up(**REGISTRY, **shop.source) == PULLED
    assert f"{PULLED} pulled, skipped: localhost/shop:${{CI_TAG}}: CI_TAG is not set" in shop.said()


def test_what_can_be_had_nowhere_else_is_built_and_then_kept(shop: Shop) -> None:
    image = shop.up(**CI, **REGISTRY, **shop.source)
    assert image.startswith("localhost/envkit/shop:")
    assert "built; no candidate could be pulled" in shop.said()
    before = len(shop.engine.calls)
    assert shop.up(**CI, **REGISTRY, **shop.source) == image
    assert not [call for call in shop.engine.calls[before:] if call[0] in ("pull", "build", "start")]


def test_a_candidate_that_came_to_be_here_since_is_taken(shop: Shop) -> None:
    shop.up(**CI, **shop.source)
    shop.engine.images.there[LOADED] = "sha256:1"
    assert shop.up(**CI, **shop.source) == LOADED


def test_other_build_arguments_are_another_image(shop: Shop) -> None:
    assert shop.up(**shop.source) == shop.up(**shop.source) != shop.up(**shop.source, ARGUMENT="2")


def test_when_none_can_be_had_each_has_its_reason(shop: Shop) -> None:
    (shop.folder / "src/Dockerfile").write_text("FROM scratch\nRUN false\n")
    with pytest.raises(ImageUnavailable) as caught:
        shop.up(**REGISTRY, **shop.source)
    for reason in ("- r.example/shop:2: not found", "- building localhost/envkit/shop:", "CI_TAG is not set"):
        assert reason in caught.value.message
    with pytest.raises(ImageUnavailable) as caught:
        shop.up(**REGISTRY)
    assert "- localhost/shop:${CI_TAG}: CI_TAG is not set" in caught.value.message


def test_a_local_name_is_never_asked_of_a_registry() -> None:
    class Api:
        def pull(self, *_: Any, **__: Any) -> None:
            raise AssertionError("pulled")

    with pytest.raises(ImageUnavailable, match="localhost is no registry"):
        Images(Api()).pull_first((LOADED,), None, print, Cancel())


# Credentials


class Engine(HTTPServer):
    """An engine that records the credentials of each pull."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.seen: list[dict[str, Any]] = []


class _Answer(BaseHTTPRequestHandler):
    server: Engine

    def do_POST(self) -> None:
        raw = self.headers.get("X-Registry-Auth", "")
        self.server.seen.append(json.loads(base64.urlsafe_b64decode(raw) or b"{}"))
        self.send_response(200)
        body = b'{"status": "done"}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


HELPER = """#!/bin/sh
read -r registry
[ "$registry" = helped.example ] || exit 1
printf '{"ServerURL": "%s", "Username": "helper", "Secret": "h"}' "$registry"
"""


def test_pulls_use_the_engines_own_credentials(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    login = base64.b64encode(b"me:pass").decode()
    config = {"auths": {"r.example": {"auth": login}}, "credHelpers": {"helped.example": "test"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    api = connect(Endpoint("docker", f"tcp://127.0.0.1:{engine.server_port}", "", "test"))
    try:
        for image in ("r.example/a:1", "helped.example/b:1", "other.example/c:1"):
            Images(api).pull_first((image,), None, print, Cancel())
    finally:
        api.close()
    who = [
        (seen.get("username") or seen.get("Username"), seen.get("password") or seen.get("Password"))
        for seen in engine.seen
    ]
    assert who == [("me", "pass"), ("helper", "h"), (None, None)]
