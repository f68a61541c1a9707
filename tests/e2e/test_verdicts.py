"""Tests of real faults during a suite: the verdict names the right cause, and no planted secret is in the evidence."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from tests.e2e import embedded_box
from tests.e2e.embedded_box import EmbeddedBox
from tests.support import ports
from tests.support.box import ROOT, Box, Said
from tests.support.engines import Engine

pytestmark = pytest.mark.e2e

SUITE = Path(__file__).parent / "suite/meets_faults.py"
PLAIN = ("-q", "--noconftest", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(SUITE.parent))
PYTEST = (sys.executable, "-m", "pytest", *PLAIN, str(SUITE))
LEAN = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
PLANTED = "planted-Secret-1"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJwbGFudGVkIjoidHdvIn0.cGxhbnRlZC10aHJlZQ"
SECRETS = tuple(text.encode() for text in (PLANTED, TOKEN, TOKEN.partition(".")[2]))

CONFIGURATION = """
    cluster: {cluster}
    services:
      redis:
        preset: redis
        options: {{maxmemory: 16MiB, policy: noeviction, password: {secret}}}
        memory: 256MiB
        ports: {{redis: {redis}}}
      postgres: {{preset: postgres, options: {{password: {secret}}}, ports: {{postgres: {postgres}}}}}
"""


@dataclass
class Victim:
    """An environment that is up, and the commands with which the suite damages its services."""

    box: Box
    kill: Callable[[str], tuple[str, ...]]
    pause: Callable[[str], tuple[str, ...]]
    resume: Callable[[str], tuple[str, ...]]
    redis: int

    def run(self, test: str, *fault: str, **environ: str) -> dict[str, str]:
        """Run one test of the suite during the fault and return the verdict.

        The function also checks that no secret is in the evidence.
        """
        artifacts = self.box.folder / f"artifacts-{uuid.uuid4().hex[:6]}"
        report = self.box.folder / "report.xml"
        argv = (*PYTEST, "-k", test, f"--junitxml={report}")
        more = {"FAULT": json.dumps(fault) if fault else "", "PLANTED": PLANTED, "TOKEN": TOKEN, **LEAN, **environ}
        said = self.box("run", "--artifacts", str(artifacts), "--json", "--", *argv, **more)
        assert said.code == 1, said
        assert_no_secret(artifacts, said)
        return verdict_of(said)


def verdict_of(said: Said) -> dict[str, str]:
    """Return the last verdict in the output."""
    rows = [json.loads(line) for line in said.err.splitlines() if line.startswith("{")]
    (*_, last) = [row for row in rows if row["event"] == "verdict"]
    print(f"{last['fault']} ({last['confidence']}): {last['reason']}; {last['because']}")
    return dict(last)


def assert_no_secret(folder: Path, said: Said) -> None:
    """Check that no secret is in any file or in the output."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "index.md" for path in files), said
    found = [path for path in files for secret in SECRETS if secret in path.read_bytes()]
    assert not found, found
    assert not [secret for secret in SECRETS if secret.decode() in said.err], said


def environment(folder: Path, cluster: str) -> tuple[Path, dict[str, int]]:
    """Write a configuration file; return its path and its ports."""
    chosen = dict(zip(("redis", "postgres"), ports.free(2), strict=True))
    path = folder / "envkit.yaml"
    path.write_text(dedent(CONFIGURATION.format(cluster=cluster, secret=PLANTED, **chosen)))
    return path, chosen


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """Yield an environment in the embedded lane, with an API server."""
    embedded_box.needed()
    folder = tmp_path_factory.mktemp("faults")
    path, chosen = environment(folder, "envtest")
    box = embedded_box.box(f"e2e-faults-{uuid.uuid4().hex[:4]}", folder, "-f", str(path), ports=(*chosen.values(),))

    def signalled(signal: str) -> Callable[[str], tuple[str, ...]]:
        return lambda service: ("kill", f"-{signal}", *(str(pid) for pid in _all_of(box, service)))

    yield from _lent(Victim(box, signalled("KILL"), signalled("STOP"), signalled("CONT"), chosen["redis"]))


def _all_of(box: EmbeddedBox, service: str) -> list[int]:
    program = box.program(service)
    return [program.pid, *(child.pid for child in program.children(recursive=True))]


@pytest.fixture(scope="module")
def containers(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """Yield an environment of containers: with an API server on Docker, without a cluster on Podman."""
    folder = tmp_path_factory.mktemp(f"faults-{engine.name}")
    mixed = engine.name == "docker"
    path, chosen = environment(folder, "envtest" if mixed else "none")
    name = f"e2e-faults-{engine.name}-{uuid.uuid4().hex[:4]}"
    flags = ("-f", str(path), *(("--lane", "mixed") if mixed else ()))
    box = Box(engine, name, folder, flags, ROOT, (*chosen.values(),))

    def asked(verb: str) -> Callable[[str], tuple[str, ...]]:
        return lambda service: (engine.name, verb, f"envkit-{name}-{service}")

    yield from _lent(Victim(box, asked("kill"), asked("pause"), asked("unpause"), chosen["redis"]))


def _lent(victim: Victim) -> Iterator[Victim]:
    """Check a taken port before anything is up, then bring the environment up."""
    try:
        _a_taken_port(victim)
        victim.box("up").ok()
        yield victim
    finally:
        left = victim.box.close()
    assert not left, left


def _a_taken_port(victim: Victim) -> None:
    artifacts = victim.box.folder / "artifacts-port"
    with socket.create_server(("127.0.0.1", victim.redis)):
        said = victim.box("run", "--artifacts", str(artifacts), "--json", "--", "true")
    assert said.code == 125, said
    found = verdict_of(said)
    assert (found["fault"], found["confidence"]) == ("environment", "certain")
    assert found["reason"].startswith(f"a port is taken: port {victim.redis} (wanted by redis) is held by"), found
    assert_no_secret(artifacts, said)


# The faults


def killed_redis(victim: Victim) -> None:
    found = victim.run("redis_keeps", *victim.kill("redis"))
    assert (found["fault"], found["confidence"]) == ("environment", "certain")
    assert found["reason"].startswith("redis "), found
    victim.box("up").ok()


def full_redis(victim: Victim) -> None:
    found = victim.run("redis_takes")
    assert (found["fault"], found["confidence"]) == ("environment", "certain")
    assert found["reason"].startswith("redis ") and "full" in found["reason"], found


def paused_postgres(victim: Victim) -> None:
    resume = victim.resume("postgres")
    try:
        found = victim.run("postgres_answers", *victim.pause("postgres"))
    finally:
        subprocess.run(resume, check=True)
    assert (found["fault"], found["confidence"]) == ("environment", "certain")
    assert found["reason"] == "postgres is paused"
    victim.box("up").ok()


def full_disk(victim: Victim) -> None:
    with small_disk(victim.box.folder / "disk") as disk:
        found = victim.run("file_can_be_written", TMPDIR=str(disk))
    assert (found["fault"], found["confidence"]) == ("environment", "certain")
    assert found["reason"].startswith(f"the disk at {disk} is full"), found


def broken_assertion(victim: Victim) -> None:
    found = victim.run("two_and_two")
    assert found["fault"] == "test" and found["confidence"] != "possible", found
    assert "1 of 1 tests failed" in found["reason"]


def secret_in_a_log(victim: Victim) -> None:
    """Check that the services' logs contain the secrets, so that the other checks can find something."""
    found = victim.run("logs")
    assert found["fault"] == "test", found
    said = victim.box("logs", "postgres").ok().out
    assert PLANTED in said and TOKEN in said
    into = victim.box.folder / "gathered"
    path = Path(victim.box("gather", "--json", "--archive", "--artifacts", str(into)).ok().json["path"])
    assert path.parent == into
    with tarfile.open(path) as tar:
        texts = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
    assert not [name for name, text in texts.items() for secret in SECRETS if secret in text]
    logs = [text for name, text in texts.items() if name.endswith("/logs/postgres.log")]
    assert logs and all(b"REDACTED" in text for text in logs)


def stopped_api_server(victim: Victim) -> None:
    found = victim.run("api_server", *victim.kill("apiserver"))
    assert (found["fault"], found["confidence"]) == ("environment", "certain")
    assert found["reason"].startswith(("apiserver ", "the API server ")), found
    victim.box("up").ok()


FAULTS = (killed_redis, full_redis, paused_postgres, full_disk, broken_assertion, secret_in_a_log)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Yield a disk of eight MiB; skip the test if this user may not mount one."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "envkit-tests", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        shutil.rmtree(folder)


@pytest.mark.embedded
@pytest.mark.parametrize("fault", [*FAULTS, stopped_api_server], ids=lambda fault: fault.__name__)
def test_a_fault_of_processes(processes: Victim, fault: Callable[[Victim], None]) -> None:
    fault(processes)


@pytest.mark.parametrize("engine", [pytest.param("docker", marks=pytest.mark.docker)], indirect=True)
@pytest.mark.parametrize("fault", [*FAULTS, stopped_api_server], ids=lambda fault: fault.__name__)
def test_a_fault_of_containers(containers: Victim, fault: Callable[[Victim], None]) -> None:
    fault(containers)


@pytest.mark.parametrize("engine", [pytest.param("podman", marks=pytest.mark.podman)], indirect=True)
@pytest.mark.parametrize("fault", [killed_redis, paused_postgres], ids=lambda fault: fault.__name__)
def test_a_fault_that_engines_tell_differently(containers: Victim, fault: Callable[[Victim], None]) -> None:
    fault(containers)
