"""Tests of the default environment, brought up once: its variables in each format, and a suite that uses them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import DOCKER
from tests.support.box import ROOT, Box
from tests.support.gateway_suite import passes

pytestmark = [pytest.mark.e2e, pytest.mark.kind]

SUITE = Path(__file__).parent / "suite/every_variable.py"

PROMISED = [
    "TEST_DATA_STORAGE_URL",
    "TEST_DATA_STORAGE_HEALTH_URL",
    "DATA_STORAGE_URL",
    "DATA_STORAGE_HEALTH_URL",
    "KUBECONFIG",
    "REDIS_URL",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_ADDR",
    "ENVKIT_ENVIRONMENT",
    "POSTGRES_HOST",
    "POSTGRES_PORT",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_DB",
    "DATABASE_URL",
    "DATA_STORAGE_TOKEN",
    "DATA_STORAGE_TOKEN_FILE",
    "GATEWAY_AUTHORIZED_TOKEN",
    "GATEWAY_AUTHORIZED_TOKEN_FILE",
    "GATEWAY_UNAUTHORIZED_TOKEN",
    "GATEWAY_UNAUTHORIZED_TOKEN_FILE",
]

PROGRAM = "import os,urllib.request as u; print(u.urlopen(os.environ['TEST_DATA_STORAGE_URL']+'/readyz').status)"


def test_every_promised_variable_is_exported(gateway: Box) -> None:
    variables = gateway.variables()
    assert not set(PROMISED) - set(variables)
    postgres, redis, api, _, health = gateway.ports
    assert variables["TEST_DATA_STORAGE_URL"] == variables["DATA_STORAGE_URL"] == f"http://127.0.0.1:{api}"
    assert variables["TEST_DATA_STORAGE_HEALTH_URL"] == f"http://127.0.0.1:{health}"
    assert variables["REDIS_ADDR"] == f"127.0.0.1:{redis}"
    assert variables["DATABASE_URL"].endswith(f"@127.0.0.1:{postgres}/action_history?sslmode=disable")
    assert not [name for name, value in variables.items() if "localhost" in value]


def test_a_shell_can_evaluate_them(gateway: Box) -> None:
    variables = gateway.variables()
    words = " ".join(f"'{word}'" for word in gateway.argv("env"))
    program = "import os, json; print(json.dumps(dict(os.environ)))"
    script = f'unset KUBECONFIG; eval "$({words})"; exec "$PYTHON" -c "{program}"'
    environ = gateway.environ(PYTHON=sys.executable)
    done = subprocess.run(["sh", "-euc", script], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert {name: seen.get(name) for name in variables} == variables


def test_dotenv_is_one_line_a_variable(gateway: Box) -> None:
    said = gateway("env", "--format", "dotenv").ok()
    read = dict(line.partition("=")[::2] for line in said.out.splitlines())
    assert {name: value.strip("'\"") for name, value in read.items()} == gateway.variables()


def test_tokens_and_kubeconfig_are_the_users_alone(gateway: Box) -> None:
    variables = gateway.variables()
    paths = [Path(value) for name, value in variables.items() if name.endswith("_FILE") or name == "KUBECONFIG"]
    assert len(paths) == 4
    for path in paths:
        assert oct(path.stat().st_mode & 0o777) == "0o600", path
        assert oct(path.parent.stat().st_mode & 0o777) == "0o700", path
    for name in variables:
        if name.endswith("_TOKEN"):
            assert Path(variables[f"{name}_FILE"]).read_text().strip() == variables[name]


def test_a_suite_reaches_everything_through_every_variable(gateway: Box) -> None:
    names = ",".join(sorted(gateway.variables()))
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", str(SUITE))
    said = gateway("run", "--", *pytest_, SUITE_VARIABLES=names, KUBECONFIG=os.devnull).ok()
    assert " passed" in said.out and "failed" not in said.out, said


def test_run_prints_200(gateway: Box) -> None:
    before = gateway.ids()
    said = gateway("run", "--", "python3", "-c", PROGRAM).ok()
    assert said.out == "200\n"
    assert gateway.ids() == before, "run takes down only what it brought up"


@pytest.mark.parametrize("engine", DOCKER, indirect=True)
def test_the_gateways_suite_passes_on_kind(gateway: Box) -> None:
    print(passes(gateway, workers=4))


def test_status_shows_every_service_ready(gateway: Box) -> None:
    said = gateway("status", "--json").ok().json
    assert said["up"] is True
    health = {row["name"]: row["health"] for row in said["services"]}
    assert health == {
        "cluster": "ready",
        "redis": "ready",
        "postgres": "ready",
        "datastorage": "ready",
        "migrate": "done",
    }


def test_logs_of_one_and_of_all(gateway: Box) -> None:
    one = gateway("logs", "postgres", "--tail", "5").ok().out.splitlines()
    assert 1 <= len(one) <= 5
    everything = gateway("logs").ok().out.splitlines()
    assert {line.partition(" | ")[0] for line in everything} >= {"redis", "postgres", "datastorage"}
