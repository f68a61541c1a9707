"""Without Redis, the server answers 503 in bounded time, creates no duplicates, and recovers when Redis is back."""

from __future__ import annotations

from dataclasses import replace

import pytest


@pytest.fixture
def behind(settings, serve, line):
    """A server that reaches Redis through this test's proxy."""
    return serve(replace(settings, redis_url=f"redis://127.0.0.1:{line.port}/0", redis_timeout=15.0))


def test_without_redis_a_signal_is_postponed(behind, line, caller, alert, envkit_namespace, requests_in):
    line.cut()
    said = caller.send(alert(), url=behind.url)
    assert (said.status, said.body["status"], said.headers["Retry-After"]) == (503, "unavailable", "1")
    assert requests_in(envkit_namespace) == []


def test_it_works_again_when_redis_is_back(behind, line, caller, alert, envkit_namespace, requests_in):
    same = alert()
    line.cut()
    assert caller.send(same, url=behind.url).status == 503
    line.mend()
    assert caller.send(same, url=behind.url).status == 201
    assert caller.send(same, url=behind.url).status == 202
    assert len(requests_in(envkit_namespace)) == 1


def test_a_silent_redis_holds_nobody_up(settings, serve, behind, line, caller, alert):
    assert caller.send(alert(), url=behind.url).status == 201
    line.hold()
    impatient = serve(replace(behind.settings, redis_timeout=0.3))
    said = caller.send(alert(), url=impatient.url)
    assert (said.status, said.body["status"]) == (503, "unavailable")
    assert "Redis" in said.body["reason"], "the server's own timeout ends before the caller's"


def test_readiness_tells(behind, line, envkit_redis, caller):
    caller.url = behind.url
    assert caller.get("/readyz").status == 200
    line.cut()
    assert caller.get("/readyz").status == 503
    assert caller.get("/healthz").status == 200, "the process is still alive"
    line.mend()
    assert caller.get("/readyz").status == 200


def test_the_trail_says_why(behind, line, caller, alert, envkit_audit):
    line.cut()
    said = caller.send(alert(), url=behind.url)
    events = envkit_audit.events(said.correlation_id, count=2)
    postponed = [event for event in events if event["event_type"] == "gateway.signal.postponed"]
    assert ["Redis" in event["event_data"]["reason"] for event in postponed] == [True]
