"""Tests of processes on hosts that lack rights, disk space or working programs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from envkit.drivers.supply.binaries import Found, Wanted, find
from tests.e2e.embedded_box import EmbeddedBox, box
from tests.support import ports
from tests.support.box import ROOT, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.embedded]

NOBODY = 65534
SLEEPS = "web: {process: {command: [sleep, '600']}}"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[EmbeddedBox]:
    """Yield an environment; the test writes its configuration."""
    made = box(f"e2e-host-{uuid.uuid4().hex[:6]}", tmp_path, "-f", str(tmp_path / "envkit.yaml"))
    yield made
    left = made.close()
    assert not left, left


def configure(one: EmbeddedBox, text: str) -> None:
    (one.folder / "envkit.yaml").write_text(text)


def here(name: str) -> Found:
    """Return the programs that this machine has without a download, or skip the test."""
    found = find(Wanted(name, user=NOBODY), os.environ, Path("/nowhere"))
    if found is None:
        pytest.skip(f"no {name} here")
    return found


# Rights


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a home folder for the user `nobody`, with only the needed tools.

    With other programs on PATH, a rootless Podman would leave files behind.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody")
    made = Path(tempfile.mkdtemp(prefix="envkit-nobody-"))
    made.chmod(0o755)
    (made / "bin").mkdir()
    for name in ("sh", "sleep", "env", "cat", "head", "mv", "od", "sed", "tr"):
        (made / "bin" / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    os.chown(made, NOBODY, NOBODY)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Yield a folder that every user may enter; pytest makes its own folders private at each start."""
    with tempfile.TemporaryDirectory(prefix="envkit-open-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def as_nobody(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = f"{ROOT}:{sysconfig.get_path('purelib')}"
    environ = {"HOME": str(home), "PATH": str(home / "bin"), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        words, env=environ, cwd="/", text=True, capture_output=True, timeout=120, user=NOBODY, group=NOBODY,
        extra_groups=[],
    )  # fmt: skip


def python_of_nobody(home: Path) -> str:
    """Return a Python that the user `nobody` can start and that can use this Python's packages."""
    script = f"import sys, pydantic, envkit.cli.main; assert sys.version_info[:2] == {sys.version_info[:2]}"
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            if as_nobody(home, python, "-c", script).returncode == 0:
                return python
        except OSError:
            continue
    pytest.skip("no Python of this version that nobody can start")


def test_an_unprivileged_user_needs_nobodys_help(home: Path) -> None:
    here("postgres")
    python, (port,) = python_of_nobody(home), ports.free()
    name = f"e2e-nobody-{uuid.uuid4().hex[:6]}"
    (home / "envkit.yaml").write_text(
        f"services: {{db: {{preset: postgres, ports: {{postgres: {port}}}}}, {SLEEPS}}}\n"
    )
    options = ("--lane", "embedded", "--name", name, "-f", str(home / "envkit.yaml"))

    def envkit(verb: str) -> str:
        said = as_nobody(home, python, "-m", "envkit", verb, *options)
        assert said.returncode == 0, said.stdout + said.stderr
        return said.stdout + said.stderr

    try:
        envkit("up")
        services = home / ".local/state/envkit" / name / "services"
        assert {path.stat().st_uid for path in services.rglob("*")} == {NOBODY}
        assert (services / "db/data/PG_VERSION").stat().st_uid == NOBODY
        assert f"POSTGRES_PORT={port}" in envkit("env")
        assert "nothing to do" in envkit("plan")
    finally:
        envkit("down")
    assert not services.parent.exists()


# Disk space


def test_a_full_disk_is_told_and_nothing_stays(one: EmbeddedBox) -> None:
    """Only this `up` has a file system of a few megabytes mounted at the services' folder."""
    here("postgres")
    (port,) = ports.free()
    configure(one, f"services: {{db: {{preset: postgres, ports: {{postgres: {port}}}}}, {SLEEPS}}}\n")
    one.services.mkdir(parents=True)
    script = 'mount -t tmpfs -o size=8m none "$1" && shift && exec "$@"'
    alone = ("unshare", "--mount", "--propagation", "slave", "sh", "-c", script, "sh", str(one.services))
    try:
        if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
        said = subprocess.run([*alone, *one.argv("up")], env=one.environ(), capture_output=True, text=True, timeout=120)
        assert said.returncode == 3, said.stderr
        assert "Traceback" not in said.stderr
        told = said.stderr.partition("\nerror: ")[2]
        assert "db cannot be started: " in told and "No space left on device" in told, told[:2000]
        assert "next: check whether the disk is full" in told
        assert told.count("No space left") == 1, "one file tells it"
        assert one.ids() == {}
    finally:
        one.services.rmdir()


# Programs that do not work


def test_a_database_that_crashes_on_its_way_shows_its_code_and_last_words(one: EmbeddedBox, open_folder: Path) -> None:
    found, folder, (port,) = here("postgres"), open_folder, ports.free()
    for name, path in found.programs.items():
        (folder / name).symlink_to(path)
    (folder / "postgres").unlink()
    real = found.programs["postgres"]
    (folder / "postgres").write_text(
        f'#!/bin/sh\ncase "$1" in --version|--single) exec {real} "$@";; esac\necho boom >&2\nexit 7\n'
    )
    (folder / "postgres").chmod(0o755)
    process = f"process: {{path: {folder}}}"
    configure(one, f"services: {{db: {{preset: postgres, {process}, ports: {{postgres: {port}}}}}}}\n")

    said = one("up")

    assert said.code == 3, said
    assert "db exited with 7" in said.err and "boom" in said.err, said
    assert one.left() == []


# The proof that no engine is needed leaves nothing behind


def test_the_proof_without_an_engine_ends_on_a_signal_and_leaves_nothing(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("namespaces of one's own are root's on many hosts")
    proof = subprocess.Popen(
        [ROOT / "tests/host/without-engine", "--brief"], env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert eventually(lambda: list(tmp_path.glob("*/clone/.venv.lock")), 60), "it has begun with the set-up"
    proof.send_signal(signal.SIGTERM)
    _, said = proof.communicate(timeout=60)
    assert proof.returncode == 128 + signal.SIGTERM, said
    assert list(tmp_path.glob("envkit-*")) == [], said
    words = (" ".join(it.info["cmdline"] or ()) for it in psutil.process_iter(["cmdline"]))
    assert [line for line in words if str(tmp_path) in line] == []
