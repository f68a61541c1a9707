"""Tests of Ctrl-C, SIGTERM and SIGKILL at any moment of an `up`: nothing remains, at once or after `down`."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.support import ports
from tests.support.box import Box, Small, eventually

pytestmark = pytest.mark.e2e

PYTHON = "docker.io/library/python:3.12-slim"
MOMENTS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Moments as fractions of an undisturbed `up`'s duration; each one varies by up to 0.1 at random."""


def several(small: Small) -> Box:
    """Return two services, one of them with an anonymous volume, and one-shots in a container and on the host."""
    first, second = ports.free(2)
    return small(
        f"""
        cluster: none
        services:
          database:
            preset: postgres
            ports: {{postgres: {first}}}
          web:
            image: {PYTHON}
            command: [python3, -m, http.server, "80"]
            ports: {{http: "{second}:80"}}
            probe: {{type: http}}
          once: {{image: {PYTHON}, once: true, command: [sleep, "0.3"], needs: web}}
          prepare: {{once: true, host_command: [sleep, "0.5"], needs: once}}
        """,
        ports=(first, second),
    )


def moments(box: Box) -> list[float]:
    """Return the seconds after which to disturb an `up`, measured from an undisturbed run on this machine."""
    seconds = box("up").ok().seconds
    box("down").ok()
    return [seconds * max(0.02, part + random.uniform(-0.1, 0.1)) for part in MOMENTS]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_a_signal_at_any_moment_leaves_nothing(small: Small, signum: int) -> None:
    box = several(small)
    cancelled = 0
    for moment in moments(box):
        running = box.start("up")
        time.sleep(moment)
        running.send(signum)
        said = running.wait(60)
        if said.code == 0 or " is up (" in said.out:  # the command had already done its work
            box("down").ok()
            continue
        assert box.left() == [], f"after {moment:.2f} s: {said}"
        if "Traceback" in said.err and "tasks.py" not in said.err:
            continue  # the interpreter was still starting: envkit had done nothing
        assert said.code == 128 + signum, f"after {moment:.2f} s: {said}"
        assert "Traceback" not in said.err, f"after {moment:.2f} s: {said}"
        cancelled += 1
    assert cancelled >= 2


def test_a_kill_at_any_moment_leaves_nothing_that_down_does_not_find(small: Small) -> None:
    box = several(small)
    for moment in moments(box):
        running = box.start("up")
        time.sleep(moment)
        running.send(signal.SIGKILL)
        assert running.wait(10).code in (0, 137)
        volumes = box.engine.volumes_of(box.name)
        said = box("down").ok()
        # The daemon may carry out a request from just before the kill only after the first check.
        left = box.left(volumes)
        assert left == [], f"killed after {moment:.2f} s; {running.err()}\n{said}"
        box("down").ok()


def test_up_after_a_kill_repairs(small: Small) -> None:
    box = several(small)
    running = box.start("up")
    assert eventually(lambda: "web" in box.ids(), 30), running.err()
    running.send(signal.SIGKILL)
    running.wait(10)
    box("up").ok()
    assert set(box.ids()) == {"database", "web", "once"}
    box("status").ok()
    box("down").ok()
    assert box.left() == []


def test_a_signal_ends_a_host_command_too(small: Small) -> None:
    box = small("cluster: none\nservices: {prepare: {once: true, host_command: [sleep, '300']}}")
    running = box.start("up")
    assert eventually(lambda: [line for line in box.left() if "sleep 300" in line], 20), running.err()
    running.send(signal.SIGTERM)
    said = running.wait(30)
    assert said.code == 143, said
    assert box.left() == [], said


def test_down_ends_the_host_command_of_an_up_that_was_killed(small: Small) -> None:
    box = small("cluster: none\nservices: {prepare: {once: true, host_command: [sleep, '300']}}")
    running = box.start("up")
    assert eventually(lambda: [line for line in box.left() if "sleep 300" in line], 20), running.err()
    running.send(signal.SIGKILL)
    running.wait(10)
    box("down").ok()
    assert box.left() == []


@pytest.mark.kind
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["int", "kill"])
def test_a_signal_while_the_cluster_is_made(small: Small, signum: int) -> None:
    box = small("extends: base\nservices: {migrate: null, datastorage: null, redis: null, postgres: null}")
    running = box.start("up")
    assert eventually(lambda: "cluster" in box.ids(), 60), running.err()
    time.sleep(random.uniform(0, 6))
    running.send(signum)
    said = running.wait(60)
    assert said.code == 128 + signum, said
    volumes = box.engine.volumes_of(box.name)
    if signum == signal.SIGKILL:
        assert volumes, "the node was there"
        box("down").ok()
    assert box.left(volumes) == [], said
    assert "Traceback" not in said.err, said
    box.untouched()
