"""Tests of `--port-offset auto` on real servers: it chooses free ports, keeps them, and avoids ports in use."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envkit.inventory import offsets
from tests.e2e import embedded_box
from tests.support import ports
from tests.support.box import ROOT, Box
from tests.support.engines import Engine

pytestmark = pytest.mark.e2e

API, METRICS, HEALTH = 14100, 15100, 24100
"""Ports with the default profile's distances: the metrics' port is the API's plus 1000, the health's is plus 10000."""

QUIET = "exports: {REDIS_ADDR: null, REDIS_HOST: null, REDIS_PORT: null, REDIS_URL: null}"
TEXT = f"""
cluster: none
services:
  redis: {{preset: redis, options: {{maxmemory: 64MiB}}, ports: {{redis: {API}}}}}
  more: {{preset: redis, options: {{maxmemory: 64MiB}}, ports: {{redis: {METRICS}}}, {QUIET}}}
  most: {{preset: redis, options: {{maxmemory: 64MiB}}, ports: {{redis: {HEALTH}}}, {QUIET}}}
"""
AUTO = ("--port-offset", "auto")

PLACES = [
    *(pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("docker", "podman")),
    pytest.param("embedded", marks=pytest.mark.embedded),
]


class Machine:
    """Several checkouts of one configuration, all on one engine or all as processes."""

    def __init__(self, where: str, folder: Path) -> None:
        self.where, self.folder = where, folder
        self.engine = None if where == "embedded" else Engine(where)
        self.boxes: list[Box] = []

    def checkout(self, name: str = "", *flags: str, state: str = "") -> Box:
        """Add a checkout and return it; it has a separate state directory unless `state` names a shared one."""
        folder = self.folder / (state or f"user-{len(self.boxes)}")
        checkout = self.folder / f"checkout-{len(self.boxes)}"
        checkout.mkdir(parents=True)
        folder.mkdir(exist_ok=True)
        (checkout / "envkit.yaml").write_text(TEXT)
        name, words = name or f"e2e-off-{uuid.uuid4().hex[:6]}", ("-f", str(checkout / "envkit.yaml"), *flags)
        box = Box(self.engine, name, folder, words, ROOT) if self.engine else embedded_box.box(name, folder, *words)
        self.boxes.append(box)
        return box


@pytest.fixture(params=PLACES)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(request.param, tmp_path)
    yield made
    left = [line for box in made.boxes for line in box.close()]
    assert not left, left


def used(box: Box) -> dict[str, int]:
    """Return the environment's ports by service."""
    rows = box("status", "--json").ok().json["services"]
    return {row["name"]: int(row["addresses"]["redis"].rpartition(":")[2]) for row in rows}


def brought_up(box: Box, *words: str) -> dict[str, Any]:
    """Run `up --json` and return its output."""
    found: dict[str, Any] = box("up", "--json", *words).ok().json
    return found


def test_every_command_finds_it_and_the_next_up_has_the_same(machine: Machine) -> None:
    box = machine.checkout()
    planned = box("plan", *AUTO).ok()
    first = brought_up(box, *AUTO)["port_offset"]
    assert f"port offset {first} (chosen)" in planned.err
    assert used(box) == {"redis": API + first, "more": METRICS + first, "most": HEALTH + first}
    assert f"port offset {first}: up\n" in box("status").ok().out
    assert box.variables()["REDIS_PORT"] == str(API + first)
    box("run", "--", "sh", "-c", f'test "$REDIS_PORT" = {API + first}').ok()
    assert f"port offset {first}" in box("up").ok().out
    assert {action for action, _ in box.plan().values()} == {"keep"}, "nothing is moved"
    box("down").ok()
    assert brought_up(box, *AUTO)["port_offset"] == first
    assert brought_up(box, *AUTO)["port_offset"] == first
    box("down").ok()


def test_two_at_the_same_moment(machine: Machine) -> None:
    """Both belong to one user; the lock decides which one chooses first."""
    boxes = [machine.checkout("", *AUTO, state="shared") for _ in range(2)]
    for one in [box.start("up") for box in boxes]:
        one.wait().ok()
    first, second = (set(used(box).values()) for box in boxes)
    assert len(first) == len(second) == 3 and not first & second


def test_a_race_that_no_lock_decides(machine: Machine) -> None:
    """Two separate state directories lead to the same first choice; only the bind decides."""
    first = machine.checkout("", *AUTO)
    every = len(offsets.slots([API, METRICS, HEALTH])[0])
    root = str(machine.folder / "checkout-1")
    here = offsets.start(first.name, str(machine.folder / "checkout-0")) % every
    names = (f"e2e-off-{number}" for number in range(100000))
    second = machine.checkout(next(name for name in names if offsets.start(name, root) % every == here), *AUTO)
    said = [one.wait() for one in [box.start("up") for box in (first, second)]]
    assert [one.code for one in said] == [0, 0], "\n".join(map(str, said))
    mine, other = (set(used(box).values()) for box in (first, second))
    assert len(mine) == len(other) == 3 and not mine & other


def test_a_remembered_port_that_somebody_took(machine: Machine) -> None:
    """envkit chooses a new offset only if nothing is up, and never replaces an offset that the user gave."""
    box = machine.checkout()
    first = brought_up(box, *AUTO)["port_offset"]
    box("down").ok()
    with socket.create_server(("127.0.0.1", METRICS + first)):
        said = box("up", *AUTO).ok()
        assert f"port offset {first} cannot be used, choosing another one: port {METRICS + first}" in said.err
        assert f"port offset {first}" not in said.out
    second = box("status", "--json").ok().json["port_offset"]
    assert second != first
    box("down").ok()

    box("up", "redis", *AUTO).ok()
    before = box.ids()
    with socket.create_server(("127.0.0.1", METRICS + second)):
        said = box("up", *AUTO)
        assert said.code == 3 and f"port {METRICS + second} (wanted by more) is held by" in said.err
        assert box.ids() == before
        box("down").ok()
        said = box("up", "--port-offset", str(second))
        assert said.code == 3 and "--port-offset auto" in said.err


def test_the_environment_that_has_the_port_is_named(machine: Machine) -> None:
    """The offsets differ by 1000, so one environment's API port is the other one's metrics' port."""
    number = ports.offset((API, METRICS, HEALTH, METRICS + 1000, HEALTH + 1000))
    first = machine.checkout("", "--port-offset", str(number))
    second = machine.checkout()
    first("up").ok()
    said = second("up", "--port-offset", str(number + 1000))
    assert said.code == 3
    assert f"port {METRICS + number} (wanted by redis) is held by environment {first.name}: " in said.err
    assert "--port-offset auto" in said.err
    second("up", *AUTO).ok()
    assert not set(used(first).values()) & set(used(second).values())
