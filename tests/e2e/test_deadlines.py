"""Tests with a service that answers byte by byte: each command ends by its deadline, or within seconds of a signal."""

from __future__ import annotations

import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.e2e.embedded_box import EmbeddedBox, box
from tests.support import ports
from tests.support.box import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.embedded]

HEARD = 5.0
"""Seconds within which a command ends after a signal, as docs/troubleshooting.md promises."""

SERVER = """
import os, socket, sys, time
port, mode = int(sys.argv[1]), sys.argv[2]
listener = socket.create_server(("127.0.0.1", port))
plug, _ = (None, None)
while True:
    plug, _ = listener.accept()
    plug.recv(65536)
    how = open(mode).read()
    if how == "well":
        plug.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        plug.close()
    elif how == "last":
        plug.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        plug.close()
        listener.accept()
        print("that was all", flush=True)
        os._exit(0)
    else:
        open(mode + ".asked", "w").close()
        try:
            plug.sendall(b"HTTP/1.1 2")
            while True:
                time.sleep(0.5)
                plug.sendall(b"0")
        except OSError:
            pass
"""
"""A server with three modes, set by a file: answer well, answer well except at the end, or send one byte each 0.5 s."""


class Web:
    """An environment with only that service."""

    def __init__(self, folder: Path) -> None:
        (port,) = ports.free()
        self.mode = folder / "mode"
        (folder / "server.py").write_text(SERVER)
        words = [sys.executable, str(folder / "server.py"), str(port), str(self.mode)]
        (folder / "envkit.yaml").write_text(
            dedent(f"""
            services:
              web:
                process: {{command: {words!r}}}
                ports: {{web: {port}:{port}}}
                probe: {{type: http}}
                timeout: 4s
        """)
        )
        name = f"e2e-slow-{uuid.uuid4().hex[:6]}"
        self.box: EmbeddedBox = box(name, folder, "-f", str(folder / "envkit.yaml"), ports=(port,))

    def answers(self, how: str) -> None:
        """Set how the server answers from now on."""
        self.mode.write_text(how)

    def asked(self) -> bool:
        """Return whether a client is waiting for the server's answer."""
        return self.mode.with_suffix(".asked").exists()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """Yield an environment with the server; the test fails if anything of it remains."""
    made = Web(tmp_path)
    yield made
    left = made.box.close()
    assert not left, left


def test_a_service_that_exits_after_its_first_answer_has_exited(web: Web) -> None:
    web.answers("last")

    said = web.box("up")

    assert said.code == 3
    assert "error: web was ready, but exited with 0" in said.err
    assert "that was all" in said.err


def test_up_of_a_service_that_trickles_ends_with_its_timeout(web: Web) -> None:
    web.answers("slowly")

    said = web.box("up")

    assert said.code == 3
    assert "timed out: no whole answer within 2 s" in said.err
    assert said.seconds < 30  # 4 s, one attempt of 2 s, the evidence, and the removal


def test_status_and_plan_of_a_service_that_trickles_end(web: Web) -> None:
    web.answers("well")
    web.box("up").ok()
    web.answers("slowly")

    status, planned = web.box("status"), web.box("plan", "--json")

    assert "timed out" in status.out
    assert status.code == 4
    assert {row["step"]: row["action"] for row in planned.ok().json} == {"prepare": "prepare", "web": "replace"}
    assert max(status.seconds, planned.seconds) < 20


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["status", "plan", "up", "run"])
def test_a_signal_ends_a_verb_that_a_trickle_keeps_waiting(web: Web, verb: str, signum: int) -> None:
    web.answers("well")
    web.box("up").ok()
    web.answers("slowly")

    running = web.box.start(verb, *(["--", "true"] if verb == "run" else []))
    assert eventually(web.asked), running.err()
    began = time.monotonic()
    running.send(signum)
    said = running.wait(30)

    assert time.monotonic() - began < HEARD
    assert said.code == 128 + signum, said
    assert "Traceback" not in said.err


def test_down_of_a_service_that_trickles_does_not_ask_it(web: Web) -> None:
    web.answers("well")
    web.box("up").ok()
    web.answers("slowly")

    assert web.box("down").ok().seconds < 8
