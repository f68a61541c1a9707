"""Tests of everyday commands on two services, in containers and as processes: list, prune, logs and shell."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e import embedded_box
from tests.e2e.conftest import FAILED
from tests.e2e.embedded_box import EmbeddedBox
from tests.support import ports
from tests.support.box import ROOT, Box, eventually
from tests.support.engines import Engine

pytestmark = pytest.mark.e2e

TWO = """
cluster: none
services:
  redis: {{preset: redis, options: {{maxmemory: 64MiB}}, ports: {{redis: {0}}}}}
  postgres: {{preset: postgres, options: {{database: app}}, ports: {{postgres: {1}}}}}
"""
ONE = """
cluster: none
services:
  redis: {{preset: redis, options: {{maxmemory: 64MiB}}, ports: {{redis: {0}}}}}
"""


PLACES = [
    *(pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("docker", "podman")),
    pytest.param("embedded", marks=pytest.mark.embedded),
]


def made(where: str, folder: Path, text: str, *taken: int) -> Box:
    """Return an environment on that engine, or of plain processes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "envkit.yaml").write_text(text.format(*taken))
    name, file = f"e2e-day-{uuid.uuid4().hex[:6]}", ("-f", str(folder / "envkit.yaml"))
    if where == "embedded":
        return embedded_box.box(name, folder.parent, *file, ports=taken)
    return Box(Engine(where), name, folder.parent, file, ROOT, taken)


@pytest.fixture(scope="module", params=PLACES)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Yield an environment with Redis and PostgreSQL, brought up once."""
    box = made(request.param, tmp_path_factory.mktemp("everyday") / "checkout", TWO, *ports.free(2))
    try:
        box("up", "--ttl", "3h").ok()
        yield box
    finally:
        left = box.close()
    assert not left, left


@pytest.fixture
def two(shared: Box, request: pytest.FixtureRequest) -> Iterator[Box]:
    """Yield the shared environment and repair it after a failed test."""
    yield shared
    if request.node.stash.get(FAILED, False):
        print(shared("up"))


def listed(box: Box) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in box("list", "--json").ok().json["environments"]}


def test_it_is_listed_with_all_its_parts(two: Box) -> None:
    row = listed(two)[two.name]
    assert (row["state"], row["held_by"]) == ("up", [str(two.folder / "checkout")])
    assert row["where"] == ["processes"] if isinstance(two, EmbeddedBox) else [two.engine.name]
    assert row["began"] and row["expires"]
    kinds = [part["kind"] for part in row["parts"]]  # type: ignore[attr-defined]  # read from JSON
    assert kinds.count("process" if isinstance(two, EmbeddedBox) else "container") == 2


def test_what_is_up_is_not_pruned(two: Box) -> None:
    said = two("prune", two.name, "--yes").ok()
    assert "nothing to prune" in said.out
    assert {*two.ids()} == {"redis", "postgres"}


def test_what_each_service_takes_is_watched_until_ctrl_c(two: Box) -> None:
    watching = two.start("status", "--watch", "--json")
    assert eventually(lambda: watching.out().count("\n") >= 2, 60.0), watching.err()
    watching.send(signal.SIGINT)
    assert watching.wait().code == 130
    first, second = (json.loads(line) for line in watching.out().splitlines()[:2])
    assert first["up"] and [row["name"] for row in first["services"]] == ["redis", "postgres"]
    for row in second["services"]:
        assert row["memory"] > 2**19 and row["age"], row
        assert row["cpu_seconds"] > 0 or isinstance(two, EmbeddedBox), "processes' time is told in hundredths"
        assert row["cpu_share"] >= 0
    assert first["services"][0]["cpu_share"] is None


def test_a_client_speaks_to_its_service(two: Box) -> None:
    said = two("shell", "postgres", "--", "psql", "-Atc", "SELECT current_database()").ok()
    assert said.out.strip() == "app"
    assert two("shell", "redis", "--", "sh", "-c", 'exit "$(echo 7)"').code == 7


def test_logs_are_followed_through_a_restart_until_ctrl_c(two: Box) -> None:
    following = two.start("logs", "--follow", "redis")
    ready = "Ready to accept connections"
    assert eventually(lambda: ready in following.out(), 30.0), following.err()
    before = following.out().count(ready)
    two("restart", "redis").ok()
    assert eventually(lambda: following.out().count(ready) > before, 30.0), following.err()
    assert following.out().count(ready) == before + 1, "what was read before is not said again"
    assert all(line.startswith("redis | ") for line in following.out().splitlines())
    following.send(signal.SIGINT)
    assert following.wait().code == 130


def frozen(box: Box) -> bool:
    if isinstance(box, EmbeddedBox):
        return {process.status() for process in box.processes()} == {psutil.STATUS_STOPPED}
    return {row["State"]["Status"] for row in box.engine.rows(box.name)} == {"paused"}


def test_what_is_paused_uses_no_processor_and_goes_on(two: Box) -> None:
    before = two.ids()
    two("shell", "redis", "--", "redis-cli", "SET", "kept", "1").ok()
    assert two("pause", "--json").ok().json["paused"] == ["postgres", "redis"]
    assert frozen(two)
    for words in (("env",), ("reset",), ("restart", "redis"), ("shell", "redis", "--", "true")):
        asked = two(*words)
        assert asked.code == 4 and f"error: environment {two.name} is paused\n" in asked.err, asked
        assert "` resumes it\n" in asked.err, asked
    assert two("status").out.splitlines()[0].endswith(": paused")
    two("up").ok()
    assert two.ids() == before
    kept = two("shell", "redis", "--", "redis-cli", "GET", "kept").ok()
    assert kept.out.strip() == "1"


@pytest.mark.parametrize("verb", ["up", "plan", "status", "reset"])
def test_who_asks_for_another_lane_hears_where_it_is_up(two: Box, verb: str) -> None:
    """The command line names no engine, so envkit must not report the environment's engine as the user's choice."""
    before = two.ids()
    embedded = isinstance(two, EmbeddedBox)
    file = ("-f", str(two.folder / "checkout/envkit.yaml"))
    lane, there, here = (
        ("mixed", "plain processes", "an engine") if embedded else ("embedded", two.engine.name, "plain processes")
    )
    said = dataclasses.replace(two, flags=(*file, "--lane", lane), wanted_engine="auto")(verb)
    assert said.code == 2, said
    assert f"environment {two.name} is up on {there}, and this asks for {here}" in said.err
    assert "next: run `down` first" in said.err
    assert two.ids() == before


def port_of(box: Box, service: str) -> str:
    """Return the service's port for a client beside it: in the container, or on this host."""
    return str(box.ports[0]) if isinstance(box, EmbeddedBox) else {"redis": "6379"}[service]


def test_an_orphan_is_shown_first_and_then_taken(two: Box, tmp_path: Path) -> None:
    """The test deletes the environment's folder, as if a user had deleted the checkout; the other environment stays."""
    checkout = tmp_path / "checkout"
    box = made("embedded" if isinstance(two, EmbeddedBox) else two.engine.name, checkout, ONE, *ports.free(1))
    try:
        box("up", "--ttl", "1ms").ok()
        asked = box("prune", box.name)
        assert asked.code == 2 and "--yes" in asked.err, asked
        assert "it expired " in asked.out and "redis" in asked.out
        assert box.ids(), "nobody said yes"
        shutil.rmtree(checkout)
        done = box("prune", box.name, "--yes", "--json").ok().json["pruned"]
        assert [(row["name"], row["problem"]) for row in done] == [(box.name, None)]
        assert box.left() == []
    finally:
        left = box.close()
    assert not left, left
    assert {*two.ids()} == {"redis", "postgres"}


def test_a_part_of_it_is_called_so_everywhere(two: Box, tmp_path: Path) -> None:
    """After `up redis` of two services, `up`, `list`, `status` and `env` report the same part until the rest is up."""
    where = "embedded" if isinstance(two, EmbeddedBox) else two.engine.name
    box = made(where, tmp_path / "checkout", TWO, *ports.free(2))
    part = {"up": 1, "of": 2, "selected": ["redis"]}
    try:
        said = box("up", "redis").ok()
        assert f"environment {box.name} is up in part (1 of 2) (" in said.out
        assert box("up", "redis", "--json").ok().json["part"] == part
        box("restart", "redis").ok()
        seen = box("status").ok()
        assert seen.out.splitlines()[0].endswith(": up in part (1 of 2)")
        read = box("status", "--json").ok().json
        assert (read["up"], read["part"]) == (True, part)
        assert "up in part (1 of 2)" in box("list").ok().out
        assert listed(box)[box.name]["part"] == part
        given = box("env").ok()
        assert "REDIS_URL" in given.out
        assert f"note: environment {box.name} is up in part (1 of 2): redis\n" in given.err
        assert {"event": "note", "message": f"environment {box.name} is up in part (1 of 2): redis"} in [
            json.loads(line) for line in box("env", "--json").ok().err.splitlines()
        ]

        psutil.Process(int(box.ids()["redis"])).kill() if where == "embedded" else box.engine.api.kill(
            box.ids()["redis"]
        )
        assert box("status").code == 4, "what was asked for does not run"

        box("up").ok()
        assert box("status").ok().out.splitlines()[0].endswith(": up")
        assert box("status", "--json").ok().json["part"] is None and listed(box)[box.name]["part"] is None
        assert "note:" not in box("env").ok().err
        assert "is up (" in box("up", "redis").ok().out, "what is up stays asked for"
    finally:
        left = box.close()
    assert not left, left


@pytest.mark.embedded
def test_a_repository_with_a_compose_file_starts_with_one_command(tmp_path: Path) -> None:
    (port,) = ports.free(1)
    checkout = tmp_path / "shop"
    checkout.mkdir()
    (checkout / "compose.yaml").write_text(f"services: {{cache: {{image: redis:7, ports: ['{port}:6379']}}}}\n")
    box = embedded_box.box(f"e2e-day-{uuid.uuid4().hex[:6]}", tmp_path, ports=(port,))
    box.cwd = checkout
    try:
        box("init").ok()
        answer = 'import os, redis; assert redis.Redis.from_url(os.environ["REDIS_URL"]).ping()'
        box("run", "--", sys.executable, "-c", answer).ok()
    finally:
        left = box.close()
    assert not left, left
