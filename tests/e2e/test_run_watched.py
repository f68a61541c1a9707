"""Tests of a watched run: events at once, the verdict at the end, the gate, cancellation, and reset."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from envkit.operations.run import CHILD_GRACE
from envkit.suite import Environment
from envkit.watch.folder import RunFolder
from envkit.watch.timeline import Happening, ProbeSeen, Sample, read
from tests.e2e.embedded_box import EmbeddedBox, default_profile
from tests.e2e.embedded_box import box as embedded
from tests.support import ports
from tests.support.box import Box, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.embedded]

KILL = """
import os, socket, sys, time
with socket.create_connection((os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"]))) as plug:
    plug.sendall(b"SHUTDOWN NOSAVE\\r\\n")
    plug.recv(1)
print("shut down", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
sys.exit(1)
"""

DIRTY = """
import json, os, sys, urllib.request
import psycopg, redis
from kubernetes import client, config
audit = os.environ["TEST_DATA_STORAGE_URL"] + "/api/v1/audit/events"
event = {"version": "1.0", "event_type": "t.x", "event_timestamp": "2026-01-01T00:00:00Z", "event_category": "gateway",
         "event_action": "a", "event_outcome": "success", "correlation_id": "c", "event_data": {}}
asked = urllib.request.Request(audit, json.dumps(event).encode(), {"Content-Type": "application/json"})
status = urllib.request.urlopen(asked).status
database = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
stored = database.execute("SELECT count(*) FROM audit_events").fetchone()[0]
mine = database.execute("SELECT to_regclass('mine') IS NOT NULL").fetchone()[0]
versions = database.execute("SELECT count(*) FROM goose_db_version").fetchone()[0]
if "schema" in sys.argv:
    database.execute("CREATE TABLE mine (a int)")
cache = redis.Redis.from_url(os.environ["REDIS_URL"])
keys = cache.dbsize()
cache.set("k", "v")
config.load_kube_config(os.environ["KUBECONFIG"])
core, custom = client.CoreV1Api(), client.CustomObjectsApi()
spaces = sorted(it.metadata.name for it in core.list_namespace().items
                if not it.metadata.deletion_timestamp and it.metadata.name.startswith("test-"))
group = ("kubernaut.ai", "v1alpha1", "remediationrequests")
left = len(custom.list_cluster_custom_object(*group)["items"])
core.create_namespace({"metadata": {"generateName": "test-"}})
at = "2026-01-01T00:00:00Z"
spec = {"firingTime": at, "receivedTime": at, "severity": "x", "targetResource": {}, "signalFingerprint": "a" * 64,
        "signalName": "n", "signalType": "t", "targetType": "kubernetes"}
body = {"apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationRequest", "metadata": {"generateName": "rr-"}}
body["spec"] = spec
custom.create_namespaced_custom_object(*group[:2], "production", group[2], body)
print(json.dumps({"status": status, "stored": stored, "mine": mine, "versions": versions, "keys": keys,
                  "spaces": len(spaces), "left": left}))
"""

OUTLIVES = """
import os, time
from pathlib import Path
file = Path(os.environ["GATEWAY_AUTHORIZED_TOKEN_FILE"])
file.write_text("ends now")
end = time.monotonic() + 60
while file.read_text() == "ends now" and time.monotonic() < end:
    time.sleep(0.1)
print(file.read_text())
"""

CLEAN = {"status": 201, "stored": 1, "mine": False, "versions": 3, "keys": 0, "spaces": 0, "left": 0}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[EmbeddedBox]:
    """Yield an environment with a cache and a database."""
    first, second = ports.free(2)
    (tmp_path / "envkit.yaml").write_text(
        dedent(
            f"""
            cluster: none
            services:
              cache: {{preset: redis, ports: {{redis: {first}}}}}
              database: {{preset: postgres, ports: {{postgres: {second}}}}}
            """
        )
    )
    name = f"e2e-watch-{uuid.uuid4().hex[:6]}"
    one = embedded(name, tmp_path, "-f", str(tmp_path / "envkit.yaml"), ports=(first, second))
    yield one
    left = one.close()
    assert not left, left


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBox]:
    """Yield an environment of the default profile that is up."""
    with default_profile(tmp_path_factory.mktemp("gate")) as one:
        one("up").ok()
        yield one


def folder(box: Box) -> RunFolder:
    """Return the folder of the last run."""
    return RunFolder(max((box.state / "runs" / box.name).iterdir()))


def kinds(box: Box) -> list[tuple[str, str]]:
    """Return the kind and the service of each event."""
    return [(it.kind, it.service) for it in read(folder(box).timeline, Happening)]


def test_a_death_is_said_at_that_moment_and_judged(small: EmbeddedBox, tmp_path: Path) -> None:
    running = small.start("run", "--", sys.executable, "-c", KILL, str(tmp_path / "go"))
    assert eventually(lambda: "shut down" in running.out(), 60), running.err()
    assert eventually(lambda: " cache exited with 0" in running.err(), 20), running.err()
    assert running.process.poll() is None, "said while the command still runs"
    (tmp_path / "go").touch()
    said = running.wait(60)
    assert said.code == 1, "the command's own"
    assert "the environment's fault" in said.err and "\nevidence: " in said.err, said
    assert ("died", "cache") in kinds(small)
    assert "cache" in {it.service for it in read(folder(small).probes, ProbeSeen)}
    samples = list(read(folder(small).samples, Sample))
    assert {it.service for it in samples} >= {"cache", "database"}
    assert "used_memory" in {**samples[0].values, **samples[1].values}
    assert small.left() == []


def test_cancelled_it_keeps_evidence_and_is_gone_within_the_grace(small: EmbeddedBox) -> None:
    stubborn = "trap '' INT TERM; echo here; while :; do sleep 0.1; done"
    running = small.start("run", "--", "sh", "-c", stubborn)
    assert eventually(lambda: "here" in running.out(), 60), running.err()
    running.send(signal.SIGTERM)
    said = running.wait(60)
    assert said.code == 143, said
    assert "\nevidence: " in f"\n{said.err}", said
    phases = [it.message for it in read(folder(small).timeline, Happening) if it.kind == "phase"]
    assert phases.index("evidence") < phases.index("down"), "evidence first"
    assert small.left() == []


def test_a_second_signal_does_not_wait_for_the_command(small: EmbeddedBox) -> None:
    running = small.start("run", "--", "sh", "-c", "trap '' INT TERM; echo here; while :; do sleep 0.1; done")
    assert eventually(lambda: "here" in running.out(), 60), running.err()
    for _ in range(2):
        running.send(signal.SIGINT)
        sent = time.time()
        time.sleep(0.3)
    said = running.wait(60)
    assert said.code == 130, said
    (ended,) = (it for it in read(folder(small).timeline, Happening) if it.message.startswith("ended with"))
    assert ended.at - sent < CHILD_GRACE - 0.5, "the first one alone leaves it the grace"
    assert small.left() == []


def test_signals_without_end_are_no_reason_to_leave_anything(small: EmbeddedBox) -> None:
    running = small.start("run", "--repeat", "2", "--", "sleep", "0.5")
    time.sleep(random.uniform(1, 8))
    signum = random.choice([signal.SIGINT, signal.SIGTERM])
    while running.process.poll() is None and time.monotonic() - running.began < 60:
        running.send(signum)
        time.sleep(0.1)
    said = running.wait(1)
    assert small.left() == [], said
    assert "Traceback" not in said.err and said.code == (0 if "2 clean runs" in said.err else 128 + signum), said


def test_a_cancelled_gate_is_none_that_was_passed(small: EmbeddedBox) -> None:
    graceful = "trap 'exit 0' TERM; echo here; sleep 60 & wait"
    running = small.start("run", "--repeat", "3", "--", "sh", "-c", graceful)
    assert eventually(lambda: "here" in running.out(), 60), running.err()
    running.send(signal.SIGTERM)
    said = running.wait(60)
    assert said.code == 143 and "0 of 3 runs were clean" in said.err, said
    assert small.left() == []


def test_the_gate_stops_at_the_first_run_that_is_not_clean(small: EmbeddedBox, tmp_path: Path) -> None:
    small("up").ok()
    count = tmp_path / "count"
    third = f"echo x >> {count}; test $(wc -l < {count}) -lt 2 || exit 9"
    said = small("run", "--repeat", "3", "--", "sh", "-c", third)
    assert said.code == 9 and "1 of 3 runs were clean; stopped after run 2" in said.err, said
    assert len(count.read_text().split()) == 2

    (tmp_path / "go").touch()
    said = small("run", "--repeat", "3", "--", sys.executable, "-c", KILL, str(tmp_path / "go"))
    assert said.code == 125 and "environment" in said.err and "stopped after run 1" in said.err, said
    assert small("run", "--repeat", "none", "--", "true").code == 2


def test_three_clean_runs_that_leave_nothing_to_each_other(gateway: EmbeddedBox) -> None:
    before = gateway.ids()
    said = gateway("run", "--repeat", "3", "--", sys.executable, "-W", "ignore", "-c", DIRTY).ok()
    assert "3 clean runs in a row" in said.err, said
    found = [json.loads(line) for line in said.out.splitlines()]
    first = {**found[0], "stored": found[1]["stored"]}  # the proof of a new environment also stored an event
    assert [first, *found[1:]] == [CLEAN] * 3, said
    assert gateway.ids() == before, "nothing was restarted"


def test_a_token_that_ends_while_the_command_runs_is_renewed(gateway: EmbeddedBox) -> None:
    said = gateway("run", "--", sys.executable, "-c", OUTLIVES).ok()
    token = said.out.strip()
    variables = gateway.variables()
    file = Path(variables["GATEWAY_AUTHORIZED_TOKEN_FILE"])
    assert token == file.read_text() == variables["GATEWAY_AUTHORIZED_TOKEN"] != "ends now"
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    assert Environment(variables).kubernetes(token).ask("GET", "/api")["versions"] == ["v1"]


def test_reset_undoes_changes_of_the_schema_too(gateway: EmbeddedBox) -> None:
    gateway("reset").ok()
    before = gateway.ids()
    for words in (["schema"], []):
        said = gateway("run", "--", sys.executable, "-W", "ignore", "-c", DIRTY, *words).ok()
        assert json.loads(said.out) == CLEAN
        parts = {row["name"]: row["message"] for row in gateway("reset", "--json").ok().json["parts"]}
        assert {"datastorage", "redis", "postgres", "cluster"} <= {*parts}
        assert ("made anew" in parts["postgres"]) is bool(words), parts
    assert gateway.ids() == before


def test_reset_of_what_is_not_up(small: EmbeddedBox) -> None:
    assert small("reset").code == 4
