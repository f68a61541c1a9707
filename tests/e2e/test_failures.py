"""Tests of each failure of an environment: one clear message with a next step, exit code 3, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import ports
from tests.support.box import Box, Said, Small, bindable, eventually
from tests.support.engines import Engine

pytestmark = pytest.mark.e2e

PYTHON = "docker.io/library/python:3.12-slim"
LISTENER = "import socket,sys,time; s=socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"


def one_service(*lines: str, more: str = "") -> str:
    """Return a configuration of the service `web`, with further lines of YAML."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"cluster: none\nservices:\n  web:\n    image: {PYTHON}\n{body}{more}"


def failed(box: Box, said: Said, code: int = 3) -> str:
    """Check a failure and return its error text.

    The checks cover the exit code, the form of the message, and that nothing remains.
    """
    assert said.code == code, said
    assert "\nerror: " in said.err and "\nnext: " in said.err, said
    assert "Traceback" not in said.err, said
    assert said.out == "", said
    assert box.left() == [], said
    return said.err.partition("\nerror: ")[2]


@contextmanager
def listener(port: int) -> Iterator[int]:
    """Run an unrelated process that listens on the port, and yield its pid."""
    with subprocess.Popen([sys.executable, "-c", LISTENER, str(port)]) as process:
        try:
            assert eventually(lambda: not bindable(port))
            yield process.pid
        finally:
            process.kill()


def test_taken_ports_are_named_at_once_with_their_holders(small: Small) -> None:
    first, second, third = ports.free(3)
    box = small(
        f"""
        cluster: none
        services:
          one: {{image: {PYTHON}, ports: {{http: "{first}:80"}}}}
          two: {{image: {PYTHON}, ports: {{http: "{second}:80", other: "{third}:81"}}}}
        """
    )
    with listener(first) as pid, box.engine.container(f"holder-of-{second}", port=second):
        said = box("up")
        text = failed(box, said)
        assert f"port {first} (wanted by one) is held by process {pid} ({sys.executable}" in text, said
        assert f"port {second} (wanted by two) is held by container holder-of-{second}" in text, said
        assert str(third) not in text and "--port-offset" in text
        assert not bindable(first) and not bindable(second), "the holders were left alone"


def test_a_port_that_is_taken_while_up_is_on_its_way(small: Small) -> None:
    """The check before the start does not reserve the port; only the bind decides."""
    (port,) = ports.free()
    box = small(
        f"""
        cluster: none
        services:
          slow: {{image: {PYTHON}, once: true, command: [sleep, "3"]}}
          web: {{image: {PYTHON}, command: [sleep, "60"], needs: slow, ports: {{http: "{port}:80"}}}}
        """
    )
    running = box.start("up")
    assert eventually(lambda: "slow" in box.ids(), 30), running.err()
    with listener(port) as pid:
        said = running.wait()
        assert f"held by process {pid}" in failed(box, said), said


def test_an_image_that_cannot_be_had(small: Small) -> None:
    box = small("cluster: none\nservices: {web: {image: localhost:1/no/such:image}}")
    said = box("up")
    text = failed(box, said)
    assert "localhost:1/no/such:image" in text and "overlay" in text, said


def test_a_service_that_dies_shows_its_code_and_its_last_words(small: Small) -> None:
    (port,) = ports.free()
    box = small(
        one_service('command: [sh, -c, "echo boom; exit 3"]', f'ports: {{http: "{port}:80"}}', "probe: {type: http}")
    )
    said = box("up")
    text = failed(box, said)
    assert "exited with 3" in text and "    boom\n" in text, said
    assert said.seconds < 40, "death ends the wait, not the deadline"
    saved = list((box.state / "evidence" / box.name).rglob("logs/web.log"))
    assert len(saved) == 1 and "boom" in saved[0].read_text()
    assert f"evidence in {saved[0].parent.parent}" in said.err


def test_a_service_without_a_probe_that_dies(small: Small) -> None:
    box = small(one_service('command: [sh, -c, "echo boom; exit 3"]'))
    said = box("up")
    text = failed(box, said)
    assert "exited with 3" in text and "boom" in text, said


def test_a_one_shot_that_fails(small: Small) -> None:
    box = small(one_service("once: true", 'command: [sh, -c, "echo one; echo two >&2; exit 7"]'))
    said = box("up")
    text = failed(box, said)
    assert "exited with 7" in text and "one" in text and "two" in text, said


def test_a_host_command_that_fails(small: Small) -> None:
    box = small("cluster: none\nservices: {prepare: {once: true, host_command: [sh, -c, 'echo bang; exit 9']}}")
    said = box("up")
    text = failed(box, said)
    assert "9" in text and "bang" in text, said


def test_a_probe_that_never_passes_says_what_was_expected_and_seen(small: Small) -> None:
    (port,) = ports.free()
    box = small(
        one_service(
            "command: [python3, -m, http.server, '80']",
            f'ports: {{http: "{port}:80"}}',
            "probe: {type: http, path: /missing}",
            "timeout: 2s",
        )
    )
    said = box("up")
    text = failed(box, said)
    assert f"200 from http://127.0.0.1:{port}/missing" in text, said
    assert "last seen: HTTP 404" in text and "2 s" in text, said
    assert "GET /missing" in text, "its last log lines"


def test_a_service_that_runs_out_of_memory(small: Small) -> None:
    (port,) = ports.free()
    box = small(
        one_service(
            'command: [python3, -c, "x = bytearray(300 << 20)"]',
            "memory: 64MiB",
            f'ports: {{http: "{port}:80"}}',
            "probe: {type: http}",
        )
    )
    said = box("up")
    text = failed(box, said)
    assert "memory" in text.splitlines()[0] and "137" in text and "services.web.memory" in text, said


def test_one_failure_stops_and_removes_the_others(small: Small) -> None:
    box = small(
        one_service(
            'command: [sleep, "600"]',
            more=f"  bad: {{image: {PYTHON}, once: true, command: [sh, -c, 'sleep 1; exit 4'], needs: web}}\n",
        )
    )
    said = box("up")
    assert "bad" in failed(box, said)


def test_keep_leaves_what_failed(small: Small) -> None:
    box = small(
        one_service(
            'command: [sleep, "600"]',
            more=f"  bad: {{image: {PYTHON}, once: true, command: [sh, -c, 'echo why; exit 4'], needs: web}}\n",
        )
    )
    said = box("up", "--keep")
    assert said.code == 3, said
    assert set(box.ids()) == {"web", "bad"}
    assert "why" in box("logs", "bad").ok().out
    box("down").ok()
    assert box.left() == []


def test_a_failed_second_up_leaves_what_was_there(small: Small) -> None:
    text = one_service('command: [sleep, "600"]')
    box = small(text)
    box("up").ok()
    before = box.ids()
    with (box.folder / "envkit.yaml").open("a") as file:
        file.write(f"  bad: {{image: {PYTHON}, once: true, command: ['false'], needs: web}}\n")
    assert box("up").code == 3
    assert box.ids() == before


def test_a_stranger_with_our_name_is_left_alone(small: Small) -> None:
    box = small(one_service('command: [sleep, "600"]'))
    with box.engine.container(f"envkit-{box.name}-web") as stranger:
        said = box("up")
        assert "not envkit's" in failed(box, said), said
        box("down").ok()
        assert box.engine.api.inspect_container(stranger)["State"]["Running"]


def test_every_fault_of_the_configuration_at_once(small: Small) -> None:
    box = small(
        f"""
        cluster: none
        nonsense: 1
        services:
          one: {{image: {PYTHON}, ports: {{http: "80:80"}}, needs: two, memory: lots}}
          two: {{image: {PYTHON}, ports: {{http: "20001:80"}}, needs: [one, three]}}
          four: {{image: "${{NOT_SET_ANYWHERE}}", ports: {{http: "20001:80"}}}}
        """
    )
    for verb in ("up", "plan"):
        said = box(verb)
        assert said.code == 2 and said.out == "", said
        for word in (
            "nonsense",
            "services.one.ports.http",
            "services.one.memory",
            "three",
            "NOT_SET_ANYWHERE",
            "envkit.yaml",
        ):
            assert word in said.err, (word, said)
        assert "Traceback" not in said.err
    assert box.left() == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--set", "services.web.imagee=x"), "did you mean 'image'"),
        (("nosuch",), "nosuch"),
        (("--port-offset", "many"), "--port-offset"),
        (("--frobnicate",), "frobnicate"),
    ],
)
def test_mistakes_on_the_command_line(small: Small, words: tuple[str, ...], expected: str) -> None:
    said = small(one_service('command: [sleep, "600"]'))("up", *words)
    assert said.code == 2 and expected in said.err and "Traceback" not in said.err, said


def test_no_engine(small: Small, engine: Engine) -> None:
    box = small(one_service('command: [sleep, "600"]'))
    variable = {"docker": "DOCKER_HOST", "podman": "CONTAINER_HOST"}[engine.name]
    box.wanted_engine = "auto"
    text = failed(box, box("up", **{variable: "unix:///nowhere/engine.sock"}))
    assert f"{variable}=unix:///nowhere/engine.sock does not answer" in text and f"unset {variable}" in text, text


@pytest.mark.kind
def test_kind_is_not_installed(small: Small) -> None:
    box = small("cluster: {type: kind}\nservices: {}")
    path = os.pathsep.join(
        folder for folder in os.environ["PATH"].split(os.pathsep) if not (Path(folder) / "kind").exists()
    )
    said = box("up", PATH=path)
    text = failed(box, said)
    assert "kind is not installed or not on PATH" in text and "https://" in text, said


def test_commands_about_an_environment_that_is_not_up(small: Small) -> None:
    box = small(one_service('command: [sleep, "600"]'))
    for words in (("env",), ("logs",), ("restart", "web")):
        said = box(*words)
        assert (said.code, said.out) == (4, "false\n" if words == ("env",) else ""), said
        assert "up" in said.err and "\nnext: " in said.err, said
    assert box("status").code == 4
    said = box("down").ok()
    assert "nothing to remove" in said.out
