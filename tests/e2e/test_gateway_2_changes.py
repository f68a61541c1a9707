"""Tests of a second `up`: the parts that it keeps, and the parts that it replaces.

The causes are drift, a death, a lost namespace and a lost state folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import redis
from kubernetes import client, config

from tests.support.box import Box, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.kind]


@contextmanager
def cluster(box: Box) -> Iterator[client.CoreV1Api]:
    """Yield an admin client of the environment's API server."""
    settings = client.Configuration()
    config.load_kube_config(box.variables()["KUBECONFIG"], client_configuration=settings)
    with client.ApiClient(settings) as api:
        yield client.CoreV1Api(api)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Return the services that have another container now."""
    return {name for name in before | after if before.get(name) != after.get(name)}


def test_a_second_up_keeps_everything(gateway: Box) -> None:
    before, variables = gateway.ids(), gateway.variables()
    assert set(before) == {"cluster", "redis", "postgres", "datastorage"}
    assert gateway("plan").ok().out.endswith("nothing to do\n")
    said = gateway("up").ok()
    assert gateway.ids() == before
    assert gateway.variables() == variables, said


def test_what_drifted_is_replaced_with_what_needs_it(gateway: Box) -> None:
    before = gateway.ids()
    smaller = ("--set", "services.redis.options.maxmemory=1GiB")
    plan = gateway.plan(*smaller)
    assert {step for step, (action, _) in plan.items() if action != "keep"} == {"prepare", "redis", "datastorage"}
    assert plan["redis"] == ("replace", "changed: command, memory")
    assert plan["datastorage"][0] == "replace"
    assert gateway.ids() == before, "plan changes nothing"

    said = gateway("up", *smaller).ok()
    assert "changed: command, memory" in said.err
    assert changed(before, gateway.ids()) == {"redis", "datastorage"}
    with redis.Redis.from_url(gateway.variables()["REDIS_URL"]) as connection:
        assert connection.info("memory")["maxmemory"] == 1 << 30
    gateway("up").ok()
    with redis.Redis.from_url(gateway.variables()["REDIS_URL"]) as connection:
        assert connection.info("memory")["maxmemory"] == 2 << 30


def test_a_killed_container_is_replaced(gateway: Box) -> None:
    before = gateway.ids()
    gateway.engine.api.kill(before["datastorage"])
    eventually(lambda: not gateway.engine.inspect(gateway.name, "datastorage")["State"]["Running"])

    said = gateway("status")
    assert said.code == 4, said
    assert "exited with 137" in said.out
    said = gateway("env")
    assert (said.code, said.out) == (4, "false\n"), said
    assert "datastorage" in said.err and "up" in said.err

    assert gateway.plan()["datastorage"] == ("replace", "exited with 137")
    gateway("up").ok()
    assert changed(before, gateway.ids()) == {"datastorage"}
    gateway("status").ok()


def test_a_deleted_namespace_comes_back(gateway: Box) -> None:
    before = gateway.ids()
    with cluster(gateway) as api:
        old = api.read_namespace("staging").metadata.uid
        api.delete_namespace("staging")
        said = gateway("up").ok()  # without a wait: the namespace may still be Terminating
        new = api.read_namespace("staging")
        assert new.status.phase == "Active" and new.metadata.uid != old, said
        api.create_namespaced_config_map("staging", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="usable")))
    assert gateway.ids() == before
    assert gateway("plan").ok().out.endswith("nothing to do\n")


def test_restart_keeps_the_container(gateway: Box) -> None:
    before = gateway.ids()
    started = gateway.engine.inspect(gateway.name, "redis")["State"]["StartedAt"]
    gateway("restart", "redis").ok()
    assert gateway.ids() == before
    assert gateway.engine.inspect(gateway.name, "redis")["State"]["StartedAt"] != started
    gateway("status").ok()


def test_restart_keeps_the_data(gateway: Box) -> None:
    url = gateway.variables()["DATABASE_URL"]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS e2e_kept (number int)")
        connection.execute("INSERT INTO e2e_kept VALUES (42)")
    gateway("restart", "postgres").ok()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM e2e_kept").fetchone() == (42,)
        connection.execute("DROP TABLE e2e_kept")


def test_a_paused_cluster_is_resumed(gateway: Box) -> None:
    before = gateway.ids()
    gateway.engine.api.pause(before["cluster"])
    assert gateway("status").code == 4
    said = gateway("up").ok()
    assert gateway.ids() == before, said
    with cluster(gateway) as api:
        assert api.read_namespace("production").status.phase == "Active"


def test_a_lost_state_folder_is_made_again(gateway: Box) -> None:
    before, names = gateway.ids(), set(gateway.variables())
    shutil.rmtree(gateway.state)
    said = gateway("env")
    assert said.code == 4 and "up" in said.err, said
    gateway("up").ok()
    assert changed(before, gateway.ids()) <= {"datastorage"}, "only what must know that migrations ran anew"
    assert set(gateway.variables()) == names
    with cluster(gateway) as api:
        assert api.list_namespace().items
