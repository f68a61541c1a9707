"""A suite that uses an environment during a fault; `FAULT` holds the command that causes the fault."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import pytest
import redis
import yaml

SECONDS = 3
CHUNK = 1 << 20


@pytest.fixture(autouse=True)
def _fault() -> None:
    if os.environ.get("FAULT"):
        subprocess.run(json.loads(os.environ["FAULT"]), check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def cache() -> redis.Redis:
    return redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=SECONDS)


def test_redis_keeps_a_value(cache: redis.Redis) -> None:
    cache.set("a", "b")
    assert cache.get("a") == b"b"


def test_redis_takes_what_is_written(cache: redis.Redis) -> None:
    """Write much more than Redis may hold."""
    with cache:
        for number in range(64):
            cache.set(f"large-{number}", b"x" * CHUNK)


def test_postgres_answers() -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=SECONDS) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_postgres_is_told_a_secret_that_it_logs() -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=SECONDS) as connection:
        connection.execute(f"SELECT '{os.environ['PLANTED']}' AS password, '{os.environ['TOKEN']}' FROM nowhere")


def test_api_server_is_ready() -> None:
    cluster = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())["clusters"][0]["cluster"]
    try:
        with urllib.request.urlopen(
            f"{cluster['server']}/readyz", timeout=SECONDS, context=ssl._create_unverified_context()
        ) as answer:
            assert answer.status == 200
    except urllib.error.HTTPError as error:  # the server answers, but rejects an unknown client
        assert error.code in (401, 403)


def test_a_file_can_be_written() -> None:
    """Write much more than the disk can hold."""
    with (Path(tempfile.gettempdir()) / "large").open("wb") as file:
        for _ in range(64):
            file.write(b"x" * CHUNK)


def test_two_and_two() -> None:
    assert 2 + 2 == 5
