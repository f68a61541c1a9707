"""Tests of `run -- COMMAND`: the unchanged command line, the exit code, signals, and the removal at the end."""

from __future__ import annotations

import json
import signal
import sys

import pytest

from tests.support import ports
from tests.support.box import Box, Small, eventually

pytestmark = pytest.mark.e2e

PYTHON = "docker.io/library/python:3.12-slim"
ARGV = ["a b", "it's", 'say "hi"', "--", "-x", "--json", "-n", "", "$HOME", "a\nb", "*", "żółw"]


@pytest.fixture
def box(small: Small) -> Box:
    """Return an environment with one service that is up at once."""
    (port,) = ports.free()
    return small(
        f"""
        cluster: none
        services:
          web:
            image: {PYTHON}
            command: [python3, -m, http.server, "80"]
            ports: {{http: "{port}:80"}}
            probe: {{type: http}}
            exports: {{WEB_URL: "http://${{self.address}}/"}}
        """,
        ports=(port,),
    )


def test_run_takes_down_what_it_brought_up(box: Box) -> None:
    program = "import os, urllib.request as u; print(u.urlopen(os.environ['WEB_URL']).status)"
    said = box("run", "--", sys.executable, "-c", program).ok()
    assert said.out == "200\n", "nothing of envkit's own on standard output"
    assert box.left() == []


def test_go_runs_its_tests_anew(box: Box) -> None:
    assert "-count=1" in box("run", "--", "sh", "-c", "echo $GOFLAGS").ok().out.split()


def test_run_keeps_with_keep(box: Box) -> None:
    box("run", "--keep", "--", "true").ok()
    assert set(box.ids()) == {"web"}
    box("status").ok()


def test_run_leaves_what_was_there_and_hands_the_command_on(box: Box) -> None:
    box("up").ok()
    before = box.ids()

    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    said = box("run", "--", sys.executable, "-c", program, *ARGV).ok()
    assert json.loads(said.out) == ARGV, "word for word"

    assert box("run", "--", "sh", "-c", "exit 7").code == 7
    assert box("run", "--", "sh", "-c", "kill -TERM $$").code == 143
    assert box("run", "--", "sh", "-c", "kill -KILL $$").code == 137

    said = box("run", "--", "no-such-program-anywhere")
    assert said.code in (2, 127) and "no-such-program-anywhere" in said.err, said
    said = box("run")
    assert said.code == 2 and "--" in said.err, said

    assert box.ids() == before


def test_a_signal_reaches_the_command_and_its_code_comes_back(box: Box) -> None:
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('heard', flush=True), sys.exit(5)))\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    running = box.start("run", "--", sys.executable, "-c", program)
    assert eventually(lambda: "ready" in running.out(), 60), running.err()
    running.send(signal.SIGTERM)
    said = running.wait(60)
    assert (said.code, said.out) == (5, "ready\nheard\n"), said
    assert box.left() == [], "and what it brought up is gone"


def test_125_when_not_the_command_but_the_environment_failed(small: Small) -> None:
    box = small(f"cluster: none\nservices: {{bad: {{image: {PYTHON}, once: true, command: ['false']}}}}")
    said = box("run", "--", "echo", "never")
    assert said.code == 125 and said.out == "" and "\nerror: " in said.err, said
    assert box.left() == []
