"""Tests of concurrent jobs on one shell runner with the GitLab template: each job uses only its own environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import embedded_box
from tests.support.actions import BASH
from tests.support.box import ROOT, Box, eventually
from tests.support.engines import Engine

pytestmark = pytest.mark.e2e

PLACES = [
    *(pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("docker", "podman")),
    pytest.param("embedded", marks=pytest.mark.embedded),
]
CONFIGURATION = """
name: shop
cluster: none
services:
  redis: {preset: redis, options: {maxmemory: 64MiB}, ports: {redis: 16379}}
"""
ANSWERS = (
    'exec 3<>"/dev/tcp/127.0.0.1/$REDIS_PORT" && printf "PING\\r\\n" >&3 && read -r answer <&3'
    ' && test "${answer:0:5}" = +PONG'
)
UNTIL_TOLD = f"touch up; until test -e go; do sleep 0.1; done; {ANSWERS}"


@dataclass
class Job:
    """One job in a separate checkout, run as the runner's user."""

    folder: Path
    environ: dict[str, str]
    parts: dict[str, Any]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *parts: str, script: str = "", **environ: str) -> subprocess.Popen[bytes]:
        """Start parts of the template, or the given lines, as one script."""
        lines = [
            line
            for part in parts
            for line in self.parts.get(part, [])
            if "pip install" not in line and "venv" not in line
        ]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*BASH, "-c", script or "\n".join(lines)], cwd=self.folder, env={**self.environ, **environ},
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def __call__(self, script: str, **environ: str) -> str:
        """Run lines that must succeed and return their output."""
        before = len(self.log())
        assert self.start(script=script, **environ).wait(240) == 0, self.log()
        return self.log()[before:]

    def cancel(self, process: subprocess.Popen[bytes]) -> None:
        """Send SIGTERM to all processes of the script, then run `after_script`, as the runner does."""
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        assert self.start("after_script").wait(120) == 0, self.log()

    def log(self) -> str:
        """Return the whole log of the job."""
        return (self.folder / "log").read_text(errors="replace") if (self.folder / "log").exists() else ""

    def is_up(self) -> bool:
        """Wait until the command of `UNTIL_TOLD` has begun; return False after 120 s."""
        return bool(eventually((self.folder / "up").exists, 120.0))


class Runner:
    """A machine with one user, whose jobs share a home and a state directory."""

    def __init__(self, where: str, folder: Path) -> None:
        self.folder = folder
        self.engine = None if where == "embedded" else Engine(where)
        self.box = (
            Box(self.engine, "none", folder) if self.engine else embedded_box.box("none", folder)
        )  # the test uses only its home, state directory and variables
        self.jobs: list[Job] = []
        self.lane = (
            {"ENVKIT_LANE": "containers", "ENVKIT_ENGINE": where} if self.engine else {"ENVKIT_LANE": "embedded"}
        )

    def job(self, command: str = "true", **environ: str) -> Job:
        """Add a job with a new number and return it."""
        number = str(uuid.uuid4().int % 10**10)
        checkout = self.folder / f"builds-{len(self.jobs)}"
        (checkout / ".envkit/bin").mkdir(parents=True)
        program = checkout / ".envkit/bin/envkit"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m envkit "$@"\n')
        program.chmod(0o755)
        (checkout / "envkit.yaml").write_text(CONFIGURATION)
        template = yaml.safe_load((ROOT / "ci/gitlab.yml").read_text())[".envkit"]
        said = {
            **{name: value.replace("$CI_PROJECT_DIR", str(checkout)) for name, value in template["variables"].items()},
            "ENVKIT_CACHE_DIR": "", "ENVKIT_COMMAND": command,  # this machine's cache, so that nothing is fetched again
            "GITLAB_CI": "true", "CI": "true", "CI_SERVER_URL": "https://gitlab.example", "CI_PROJECT_PATH": "g/shop",
            "CI_JOB_ID": number, "CI_PROJECT_DIR": str(checkout), **self.lane, **environ,
        }  # fmt: skip
        self.jobs.append(Job(checkout, {**self.box.environ(), **said}, template))
        return self.jobs[-1]

    def there(self) -> dict[str, dict[str, Any]]:
        """Return the environments of these jobs by job number."""
        asked = subprocess.run(
            [sys.executable, "-m", "envkit", "list", "--json"], env=self.box.environ(), capture_output=True, timeout=60,
            check=True,
        )  # fmt: skip
        rows = json.loads(asked.stdout)["environments"]
        numbers = {job.environ["CI_JOB_ID"] for job in self.jobs}
        return {number: row for row in rows for number in numbers if number in row["name"]}

    def close(self) -> list[str]:
        """End all running jobs, remove their environments, and return what is left."""
        for job in self.jobs:
            for process in job.processes:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            job.start(script=".envkit/bin/envkit down").wait(120)
        return sorted(self.there())


@pytest.fixture(params=PLACES)
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runner]:
    made = Runner(request.param, tmp_path)
    yield made
    left = made.close()
    assert not left, left


def parts(row: dict[str, Any]) -> set[str]:
    return {part["name"] for part in row["parts"]}


def test_two_jobs_at_once_of_which_one_is_cancelled(runner: Runner) -> None:
    """Regression A1: the template's `after_script` took down another job's environment."""
    first, second = runner.job(UNTIL_TOLD), runner.job("touch up; sleep 300")
    running, cancelled = (job.start("before_script", "script") for job in (first, second))
    assert first.is_up() and second.is_up(), first.log() + second.log()
    found = runner.there()
    assert set(found) == {first.environ["CI_JOB_ID"], second.environ["CI_JOB_ID"]}
    assert all(row["name"].startswith("shop-") and row["job"] and row["expires"] for row in found.values())

    second.cancel(cancelled)
    after = runner.there()
    assert set(after) == {first.environ["CI_JOB_ID"]}, second.log()
    assert parts(after[first.environ["CI_JOB_ID"]]) == parts(found[first.environ["CI_JOB_ID"]])

    (first.folder / "go").touch()
    assert running.wait(120) == 0, first.log()
    assert first.start("after_script").wait(60) == 0
    assert runner.there() == {}


def test_every_step_of_a_job_finds_its_environment(runner: Runner) -> None:
    job, other = runner.job(), runner.job()
    job(".envkit/bin/envkit up")
    job(f'eval "$(.envkit/bin/envkit env)"; {ANSWERS}')
    job(f".envkit/bin/envkit run -- bash -c '{ANSWERS}'")
    assert "is not up" in other(".envkit/bin/envkit env --json && exit 1 || true")
    other(".envkit/bin/envkit down")
    job(".envkit/bin/envkit status && .envkit/bin/envkit down")
    assert runner.there() == {}


def test_the_next_job_removes_what_lapsed_and_is_not_in_use(runner: Runner) -> None:
    lapsed, busy, lasting, following = runner.job(), runner.job(UNTIL_TOLD), runner.job(), runner.job()
    lasting(".envkit/bin/envkit up")
    running = busy.start("script", ENVKIT_TTL="1ms")
    assert busy.is_up(), busy.log()
    lapsed(".envkit/bin/envkit up", ENVKIT_TTL="1ms")

    said = following(".envkit/bin/envkit run --ci -- true")

    number, used = lapsed.environ["CI_JOB_ID"], busy.environ["CI_JOB_ID"]
    assert f"(gitlab job {number}): it expired " in said
    assert f"(gitlab job {used}) is over, but it stays: it is used by run" in said
    assert set(runner.there()) == {used, lasting.environ["CI_JOB_ID"]}
    (busy.folder / "go").touch()
    assert running.wait(120) == 0, busy.log()
