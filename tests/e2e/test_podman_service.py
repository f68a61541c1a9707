"""Tests of a host with only Podman's command: envkit serves Podman's API for one command and stops it afterwards."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.box import Box, Said
from tests.support.engines import Engine

pytestmark = [pytest.mark.e2e, pytest.mark.podman]

HIDDEN = ("unshare", "--mount", "--propagation", "slave", "sh", "-c")
SCRIPT = 'mount --bind "$1" /run/podman && shift && exec "$@"'
"""Run a command in a separate mount namespace with an empty socket folder.

The tests start no container in it, because Podman in the other namespace could not enter the container's network and
would print an error for every command.
"""


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """Return a Podman user's environment with only a one-shot command of the host."""
    empty = tmp_path / "empty"
    empty.mkdir()
    tried = subprocess.run([*HIDDEN, SCRIPT, "sh", str(empty), "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"the socket cannot be hidden here: {tried.stderr.strip()}")
    (tmp_path / "envkit.yaml").write_text(
        "cluster: none\nservices: {note: {once: true, host_command: [echo, made]}}\nexports: {MINE: yes it is}\n"
    )
    engine = Engine("podman")
    engine.close()
    return Box(engine, "e2e-podman-service", tmp_path, ("-f", str(tmp_path / "envkit.yaml")))


def hidden(box: Box, verb: str, *words: str) -> Said:
    """Run a command in a namespace without the socket."""
    argv = (*HIDDEN, SCRIPT, "sh", str(box.folder / "empty"), *box.argv(verb, *words))
    plain = {key: value for key, value in box.environ().items() if key not in ("DOCKER_HOST", "CONTAINER_HOST")}
    done = subprocess.run(argv, env=plain, capture_output=True, text=True, timeout=120)
    return Said(argv, done.returncode, done.stdout, done.stderr, 0.0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("plan",), "note"),
        (("run", "--", "sh", "-c", 'echo "$MINE"'), "yes it is\n"),
        (("down",), "nothing to remove"),
    ],
    ids=["plan", "run", "down"],
)
def test_the_api_is_served_for_the_run(box: Box, words: tuple[str, ...], expected: str) -> None:
    said = hidden(box, *words).ok()
    assert expected in said.out, said
    assert "Podman's API service is not running; serving it at" in said.err, said
    assert not list(box.state.glob("*.sock")), "the socket is gone"
    assert box.left_on_the_host() == [], said
