"""Tests of processes in trouble: taken ports, wrong programs, crashes, signals and concurrent commands.

In each case nothing remains.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from kubernetes import client, config

from tests.e2e.embedded_box import ASSETS, EmbeddedBox, box, needed
from tests.support import ports
from tests.support.box import Said, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.embedded]

MOMENTS = (0.1, 0.4, 0.6, 0.8)
"""Moments as fractions of an undisturbed `up`'s duration; each one varies by up to 0.1 at random."""

API = "cluster: {type: envtest}\n"
"""A configuration with the API server alone."""


@pytest.fixture(autouse=True)
def _supplied() -> None:
    needed()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[list[EmbeddedBox]]:
    """Yield the list of a test's environments; the test fails if anything of them remains."""
    boxes: list[EmbeddedBox] = []
    yield boxes
    left = [line for one in boxes for line in one.close()]
    assert not left, left


def small(made: list[EmbeddedBox], folder: Path, text: str, *flags: str, name: str = "") -> EmbeddedBox:
    """Return an environment made from a configuration's text."""
    place = folder / f"box-{len(made)}"
    place.mkdir()
    (place / "envkit.yaml").write_text(dedent(text))
    one = box(name or f"e2e-emb-{uuid.uuid4().hex[:6]}", place, "-f", str(place / "envkit.yaml"), *flags)
    made.append(one)
    return one


def several(made: list[EmbeddedBox], folder: Path) -> EmbeddedBox:
    """Return an environment with an API server, a database and a service that needs it."""
    (port,) = ports.free()
    return small(
        made, folder,
        f"""
        cluster: {{type: envtest, namespaces: [here]}}
        services:
          database: {{preset: postgres, ports: {{postgres: {port}}}}}
          prepare: {{once: true, host_command: [sleep, "0.3"], needs: database}}
        """,
    )  # fmt: skip


def failed(one: EmbeddedBox, said: Said, code: int = 3) -> str:
    """Check a failure and return its error text.

    The checks cover the exit code, the form of the message, and that nothing remains.
    """
    assert said.code == code, said
    assert "\nerror: " in said.err and "\nnext: " in said.err, said
    assert "Traceback" not in said.err, said
    assert one.left() == [], said
    return said.err.partition("\nerror: ")[2]


# Bad input


def test_taken_ports_are_named_at_once_with_their_holders(made: list[EmbeddedBox], tmp_path: Path) -> None:
    (port,) = ports.free()
    one = small(made, tmp_path, f"{API}services: {{r: {{preset: redis, ports: {{redis: {port}}}}}}}")
    with socket.create_server(("127.0.0.1", port)):
        said = one("up")
        text = failed(one, said)
    assert f"port {port} (wanted by r) is held by process {os.getpid()}" in text, said
    assert "--port-offset" in text
    assert said.seconds < 15


def test_a_service_that_has_an_image_only_is_named(made: list[EmbeddedBox], tmp_path: Path) -> None:
    one = small(made, tmp_path, "services: {web: {image: docker.io/library/nginx:1}}")
    assert "lane embedded runs processes: web" in failed(one, one("up"), 2)


def test_an_engine_and_no_engine_do_not_go_together(made: list[EmbeddedBox], tmp_path: Path) -> None:
    one = small(made, tmp_path, API)
    one.wanted_engine = "docker"
    assert "lane embedded uses no engine" in failed(one, one("up"), 2)
    one.wanted_engine = ""


@pytest.fixture
def poor(tmp_path: Path) -> dict[str, str]:
    """Return variables of a machine that has and reaches nothing: no cache, no index, no release, no apt."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "env", "cmp", "dirname", "cat", "sleep", "python3"):
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    closed = "http://127.0.0.1:9"
    mirrors = {f"ENVKIT_MIRROR_{name}": closed for name in ("ETCD", "KUBERNETES", "ENVTEST")}
    index = {"PIP_INDEX_URL": closed, "PIP_RETRIES": "0", "PIP_TIMEOUT": "1", "UV_INDEX_URL": closed}
    return {"PATH": str(tools), "ENVKIT_CACHE_DIR": str(tmp_path / "cache"), **mirrors, **index}


ELF_OF_ANOTHER_MACHINE = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(100)  # RISC-V


@pytest.mark.parametrize("what", ["nothing there", "another machine's", "a text", "too old"])
def test_wrong_programs_are_told_with_the_reason(
    made: list[EmbeddedBox], tmp_path: Path, poor: dict[str, str], what: str
) -> None:
    folder = tmp_path / "assets"
    folder.mkdir()
    contents = {
        "another machine's": ELF_OF_ANOTHER_MACHINE,
        "a text": b"not a program\n",
        "too old": b"#!/bin/sh\necho Kubernetes v1.19.0\n",
    }
    for name in ("kube-apiserver", "kube-controller-manager", "etcd") if what in contents else ():
        (folder / name).write_bytes(contents[what])
        (folder / name).chmod(0o755)
    shutil.copy(Path(os.environ[ASSETS]) / "etcd", folder / "etcd")
    one = small(made, tmp_path, "cluster: {type: envtest, kubernetes: v1.20.2}\n")

    said = one("up", **{**poor, ASSETS: str(folder)})

    text = failed(one, said)
    expected = {
        "nothing there": f"no kube-apiserver in {folder}", "another machine's": "does not run here",
        "a text": "does not run here", "too old": "is 1.19.0, older than 1.20.2",
    }[what]  # fmt: skip
    assert ASSETS in text and expected in text, said
    assert "setup-envtest" in text, "what to do"
    assert said.seconds < 60


def test_without_a_controller_manager_the_rest_works_and_status_says_what_does_not(
    made: list[EmbeddedBox], tmp_path: Path, poor: dict[str, str]
) -> None:
    """macOS has no controller manager, and setup-envtest does not include one if no release can be reached."""
    folder = tmp_path / "assets"
    folder.mkdir()
    for name in ("etcd", "kube-apiserver"):
        shutil.copy(Path(os.environ[ASSETS]) / name, folder)  # a link would lead to the other programs
    one = small(made, tmp_path, "cluster: {type: envtest, namespaces: [here]}\n")
    environ = {**poor, ASSETS: str(folder)}

    said = one("up", **environ).ok()

    assert "kube-controller-manager cannot be had here" in said.err, said
    assert {*one.ids()} == {"etcd", "apiserver"}
    told = one("status", "--json", **environ).ok().json
    assert [line.partition(" ")[0] for line in told["missing"]] == ["kube-controller-manager"]
    assert {row["source"].partition(" ")[2] for row in told["services"]} - {""} == {f"from {ASSETS}"}
    assert "nothing to do" in one("plan", **environ).ok().out


@pytest.mark.parametrize(
    ("name", "oldest", "text"),
    [
        ("etcd", "99.1", "cluster: {type: envtest, etcd: '99.1'}\n"),
        ("kubernetes", "1.99.0", "cluster: {type: envtest, kubernetes: v1.99.0}\n"),
        ("redis", "99", "services: {r: {preset: redis, process: {minimum: '99'}, ports: {redis: auto}}}\n"),
        ("postgres", "99", "services: {p: {preset: postgres, process: {minimum: '99'}, ports: {postgres: auto}}}\n"),
    ],
    ids=["etcd", "kubernetes", "redis", "postgres"],
)
def test_programs_older_than_the_configuration_wants_are_refused(
    made: list[EmbeddedBox], tmp_path: Path, poor: dict[str, str], name: str, oldest: str, text: str
) -> None:
    one = small(made, tmp_path, text)

    told = failed(one, one("up", **{**poor, ASSETS: os.environ[ASSETS]}))

    assert f"{name} >= {oldest} cannot be had here" in told
    if name in ("etcd", "kubernetes"):
        assert f"older than {oldest}, the minimum that the configuration states" in told


# Crashes


@pytest.mark.parametrize("part", ["etcd", "kube-apiserver", "kube-controller-manager"])
def test_a_part_that_crashes_on_its_way_shows_its_code_and_last_words(
    made: list[EmbeddedBox], tmp_path: Path, part: str
) -> None:
    real, folder = Path(os.environ[ASSETS]), tmp_path / "assets"
    folder.mkdir()
    for name in ("etcd", "kube-apiserver", "kube-controller-manager"):
        (folder / name).symlink_to(real / name)
    (folder / part).unlink()
    version = f'case "$1" in --version) exec {real / part} --version;; esac'
    (folder / part).write_text(f"#!/bin/sh\n{version}\necho boom of {part} >&2\nexit 7\n")
    (folder / part).chmod(0o755)
    one = small(made, tmp_path, API)

    said = one("up", **{ASSETS: str(folder)})

    text = failed(one, said)
    assert "exited with 7" in text and f"boom of {part}" in text, said
    assert said.seconds < 60, "death ends the wait, not the deadline"


def test_a_service_of_the_users_own_that_dies(made: list[EmbeddedBox], tmp_path: Path) -> None:
    one = small(made, tmp_path, "services: {web: {process: {command: [sh, -c, 'echo boom; exit 3']}}}")
    text = failed(one, one("up"))
    assert "exited with 3" in text and "boom" in text


def test_keep_leaves_what_failed(made: list[EmbeddedBox], tmp_path: Path) -> None:
    sleeps = "web: {process: {command: [sleep, '600']}}"
    bad = "bad: {once: true, process: {command: [sh, -c, 'echo why; exit 4']}, needs: web}"
    one = small(made, tmp_path, f"services: {{{sleeps}, {bad}}}")
    assert one("up", "--keep").code == 3
    assert {*one.ids()} == {"web"}
    assert "why" in one("logs", "bad").ok().out
    one("down").ok()
    assert one.left() == []


# Signals


def moments(one: EmbeddedBox) -> list[float]:
    """Return the seconds after which to disturb an `up`, measured from an undisturbed run on this machine."""
    seconds = one("up").ok().seconds
    one("down").ok()
    return [seconds * max(0.02, part + random.uniform(-0.1, 0.1)) for part in MOMENTS]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_a_signal_at_any_moment_leaves_nothing(made: list[EmbeddedBox], tmp_path: Path, signum: int) -> None:
    one = several(made, tmp_path)
    cancelled = 0
    for moment in moments(one):
        running = one.start("up")
        time.sleep(moment)
        running.send(signum)
        said = running.wait(60)
        if said.code == 0:  # the command had already ended
            one("down").ok()
            continue
        assert one.left() == [], f"after {moment:.2f} s: {said}"
        if "Traceback" in said.err and "tasks.py" not in said.err:
            continue  # the interpreter was still starting: envkit had done nothing
        assert said.code == 128 + signum, f"after {moment:.2f} s: {said}"
        assert "Traceback" not in said.err, f"after {moment:.2f} s: {said}"
        cancelled += 1
    assert cancelled >= 2


def test_a_kill_at_any_moment_leaves_nothing_that_down_does_not_find(made: list[EmbeddedBox], tmp_path: Path) -> None:
    one = several(made, tmp_path)
    for number, moment in enumerate(moments(one)):
        running = one.start("up")
        time.sleep(moment)
        running.send(signal.SIGKILL)
        assert running.wait(10).code in (0, 137)
        if number % 2:
            shutil.rmtree(one.state, ignore_errors=True)
            shutil.rmtree(one.services, ignore_errors=True)
        said = one("down").ok()
        assert one.left() == [], f"killed after {moment:.2f} s; {running.err()}\n{said}"


def test_up_after_a_kill_repairs(made: list[EmbeddedBox], tmp_path: Path) -> None:
    one = several(made, tmp_path)
    running = one.start("up")
    assert eventually(lambda: "database" in one.ids(), 30), running.err()
    running.send(signal.SIGKILL)
    running.wait(10)
    one("up").ok()
    assert {*one.ids()} == {"etcd", "apiserver", "controllers", "database"}
    one("status").ok()


# Run


def test_run_brings_up_and_takes_down(made: list[EmbeddedBox], tmp_path: Path) -> None:
    one = small(made, tmp_path, API)
    program = "import os; from kubernetes import client, config; config.load_kube_config(os.environ['KUBECONFIG']); " \
        "print(len(client.CoreV1Api().list_namespaced_service_account('default').items))"  # fmt: skip
    said = one("run", "--", sys.executable, "-W", "ignore", "-c", program).ok()
    assert said.out == "1\n"
    assert one.left() == []
    assert one("run", "--", "sh", "-c", "exit 7").code == 7
    assert one.left() == []


# Several at once


def test_two_at_once_make_one_environment(made: list[EmbeddedBox], tmp_path: Path) -> None:
    one = small(made, tmp_path, API)
    said = [running.wait() for running in [one.start("up") for _ in range(3)]]
    assert [it.code for it in said] == [0, 0, 0], "\n".join(map(str, said))
    assert sum("starting program:etcd" in it.err for it in said) == 1, "one did the work"
    assert one("plan").ok().out.endswith("nothing to do\n")


def test_up_and_down_at_once_end_in_one_of_both(made: list[EmbeddedBox], tmp_path: Path) -> None:
    one = small(made, tmp_path, API)
    one("up").ok()
    said = [running.wait() for running in (one.start("down"), one.start("up"))]
    assert [it.code for it in said] == [0, 0], "\n".join(map(str, said))
    assert one("status").code == (0 if one.ids() else 4)


def test_two_side_by_side(made: list[EmbeddedBox], tmp_path: Path) -> None:
    first, second = small(made, tmp_path, API), small(made, tmp_path, API)
    for running in [one.start("up") for one in (first, second)]:
        running.wait().ok()
    uids = set()
    for one in (first, second):
        settings = client.Configuration()
        config.load_kube_config(one.variables()["KUBECONFIG"], client_configuration=settings)
        with client.ApiClient(settings) as api:
            uids.add(client.CoreV1Api(api).read_namespace("kube-system").metadata.uid)
    assert len(uids) == 2, "each has an API server of its own"
    before = second.ids()
    first("down").ok()
    assert first.left() == [] and second.ids() == before
    second("status").ok()


def test_a_part_of_it_is_up_before_there_is_an_api_server_that_could_give_tokens(
    made: list[EmbeddedBox], tmp_path: Path
) -> None:
    (port,) = ports.free()
    one = small(
        made, tmp_path,
        f"""
        cluster: {{type: envtest, identities: {{caller: {{namespace: default, token: {{variable: CALLER_TOKEN}}}}}}}}
        services: {{database: {{preset: postgres, ports: {{postgres: {port}}}}}}}
        """,
    )  # fmt: skip
    one("up", "database").ok()
    assert {*one.ids()} == {"database"}
    assert "CALLER_TOKEN" not in one.variables()
    one("up").ok()
    assert one.variables()["CALLER_TOKEN"].count(".") == 2


def test_a_second_checkout_is_told_where_the_first_is(made: list[EmbeddedBox], tmp_path: Path) -> None:
    sleeps = "services: {web: {process: {command: [sleep, '600']}}}"
    first = small(made, tmp_path, sleeps)
    second = small(made, tmp_path, sleeps, name=first.name)
    first("up").ok()
    before = first.ids()
    said = second("up", ENVKIT_STATE_DIR=str(first.state))
    assert said.code == 2 and str(first.folder) in said.err and "--name" in said.err, said
    assert first.ids() == before


def test_to_look_at_what_is_not_there_leaves_nothing(made: list[EmbeddedBox], tmp_path: Path) -> None:
    one = small(made, tmp_path, API)
    assert one("status").code == 4
    one("plan").ok()
    assert one("env").code == 4
    assert one.left() == []


def test_where_no_engine_is_installed_the_lane_is_embedded(made: list[EmbeddedBox], tmp_path: Path) -> None:
    """The test hides the engines' sockets and removes the engines' daemons from PATH."""
    empty = tmp_path / "empty"
    empty.mkdir()
    unshare = shutil.which("unshare")
    script = 'mount --bind "$1" /run && shift && exec "$@"'
    hidden = ("unshare", "--mount", "--propagation", "slave", "sh", "-c", script, "sh", str(empty))
    if not unshare or subprocess.run([*hidden, "true"], capture_output=True).returncode:
        pytest.skip("sockets cannot be hidden here")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    engines = {"docker", "dockerd", "podman", "containerd"}
    for folder in os.environ["PATH"].split(":"):
        for path in Path(folder).glob("*"):
            if path.name not in engines and not (bin_ / path.name).is_symlink():
                (bin_ / path.name).symlink_to(path)
    one = small(made, tmp_path, "services: {web: {process: {command: [sleep, '600']}}}")
    auto = dataclasses.replace(one, flags=one.flags[2:], started=[])
    environ = {key: value for key, value in one.environ().items() if key not in ("DOCKER_HOST", "CONTAINER_HOST")}
    said = subprocess.run([*hidden, *auto.argv("up")], env={**environ, "PATH": str(bin_)}, capture_output=True,
                          text=True, timeout=60)  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "lane embedded: no container engine was found" in said.stderr
    assert {*one.ids()} == {"web"}
    one("down", "--force").ok()  # without `--force`, envkit does not stop processes of another mount namespace
