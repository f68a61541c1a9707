"""Tests of the mixed lane: the API server runs in containers without a node; all else stays the same."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import real_datastorage
from tests.e2e.conftest import DOCKER
from tests.support import ports
from tests.support.box import Box
from tests.support.engines import Engine
from tests.support.gateway_suite import passes

pytestmark = pytest.mark.e2e

SUITE = Path(__file__).parent / "suite/every_variable.py"


@pytest.fixture(scope="module")
def mixed(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Yield the gateway environment in the mixed lane."""
    number = ports.offset()
    moved = tuple(port + number for port in ports.GATEWAY)
    flags = ("--lane", "mixed", "--port-offset", str(number))
    name = f"e2e-mixed-{engine.name}-{uuid.uuid4().hex[:4]}"
    box = Box(engine, name, tmp_path_factory.mktemp(f"mixed-{engine.name}"), flags, ports=moved)
    try:
        box("up").ok()
        yield box
    finally:
        left = box.close()
    assert not left, left


def test_the_suite_passes_unchanged(mixed: Box) -> None:
    names = ",".join(sorted(mixed.variables()))
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", str(SUITE))
    said = mixed("run", "--", *pytest_, SUITE_VARIABLES=names, KUBECONFIG=os.devnull).ok()
    assert " passed" in said.out


@pytest.mark.parametrize("engine", DOCKER, indirect=True)
def test_the_gateways_suite_passes(mixed: Box) -> None:
    print(passes(mixed, workers=4))


def test_a_second_up_keeps_all(mixed: Box) -> None:
    assert "nothing to do" in mixed("plan").ok().out


def test_the_parts_are_containers_of_the_environment(mixed: Box) -> None:
    shown = mixed("status").ok().out
    assert all(part in shown for part in ("etcd", "apiserver", "controllers"))


def test_the_platforms_own_datastorage_finds_everything_that_it_needs(mixed: Box, standin: str) -> None:
    before = mixed.ids()
    real_datastorage.takes_the_place(mixed, standin)
    after = mixed.ids()
    assert {name for name in before if before[name] != after[name]} == {"datastorage"}
    real_datastorage.renews_in_place(mixed)
    plan = mixed("plan", *real_datastorage.PROFILE, KUBERNAUT_CI_ARTIFACT_TAG=standin).ok()
    assert "nothing to do" in plan.out
    if mixed.engine.name == "docker":  # envkit's own message; Podman 4.3 may lose the last lines under load
        real_datastorage.tells_what_is_missing(mixed, standin)
