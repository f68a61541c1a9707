"""A repeated alert creates only one request while it is remembered, also across servers and restarts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from redis import Redis

from envkit.suite import create_namespace, delete_namespace, eventually


def test_the_first_alert_becomes_a_request(gateway, caller, alert, envkit_namespace, requests_in):
    said = caller.send(alert())
    assert (said.status, said.body["status"]) == (201, "created")
    (request,) = requests_in(envkit_namespace)
    assert said.body["request"] == f"{envkit_namespace}/{request['metadata']['name']}"
    assert request["spec"]["signalFingerprint"] == said.body["fingerprint"]


def test_the_second_is_counted_and_names_the_first_ones_request(gateway, caller, alert, envkit_namespace, requests_in):
    same = alert()
    first, second, third = (caller.send(same) for _ in range(3))
    assert [second.status, third.status] == [202, 202]
    assert [second.body["count"], third.body["count"]] == [2, 3]
    assert second.body["request"] == third.body["request"] == first.body["request"]
    assert len(requests_in(envkit_namespace)) == 1


def test_a_repeat_lengthens_the_time(gateway, caller, alert, envkit_redis: Redis):
    same = alert()
    key = gateway.dedup.key(caller.send(same).body["fingerprint"])
    assert envkit_redis.pexpire(key, 20_000)  # as if most of its time had passed
    assert caller.send(same).status == 202
    assert envkit_redis.pttl(key) > 200_000


def test_after_its_time_it_is_new_again(settings, serve, caller, alert, envkit_namespace, envkit_redis, requests_in):
    server = serve(replace(settings, dedup_ttl=0.5))
    same = alert()
    first = caller.send(same, url=server.url)
    key = server.dedup.key(first.body["fingerprint"])
    eventually(lambda: not envkit_redis.exists(key), what="forgotten")
    again = caller.send(same, url=server.url)
    assert again.status == 201
    assert again.body["request"] != first.body["request"]
    assert len(requests_in(envkit_namespace)) == 2


def test_twenty_at_once_become_one_request(gateway, caller, alert, envkit_namespace, requests_in):
    said = caller.storm([alert("web-0")] * 20)
    assert Counter(one.status for one in said) == {201: 1, 202: 19}
    assert sorted(one.body.get("count", 1) for one in said) == list(range(1, 21))
    assert len(requests_in(envkit_namespace)) == 1


def test_servers_beside_each_other_share_what_they_have_seen(serve, caller, alert, envkit_namespace, requests_in):
    servers = [serve(), serve()]
    said = caller.storm([alert("web-0")] * 20, [server.url for server in servers])
    assert Counter(one.status for one in said) == {201: 1, 202: 19}
    assert len(requests_in(envkit_namespace)) == 1


def test_another_namespace_is_another_signal(gateway, caller, alert, envkit_namespace, envkit_admin, requests_in):
    other = create_namespace("other", api=envkit_admin)
    here, there = caller.send(alert("web-0")), caller.send(alert("web-0", namespace=other))
    assert (here.status, there.status) == (201, 201)
    assert here.body["fingerprint"] != there.body["fingerprint"]
    assert len(requests_in(envkit_namespace)) == len(requests_in(other)) == 1
    delete_namespace(other, api=envkit_admin)


def test_when_redis_forgets_the_request_itself_is_remembered(
    gateway, caller, alert, envkit_namespace, envkit_redis, requests_in
):
    same = alert()
    first = caller.send(same)
    assert envkit_redis.delete(gateway.dedup.key(first.body["fingerprint"])) == 1  # as after an eviction or a flush
    again = caller.send(same)
    assert (again.status, again.body["request"]) == (202, first.body["request"])
    assert len(requests_in(envkit_namespace)) == 1
