"""Every call leaves audit events in DataStorage, under its correlation id."""

from __future__ import annotations

import uuid


def kinds(events):
    return sorted(event["event_type"] for event in events)


def test_of_a_new_signal(gateway, caller, alert, envkit_audit, envkit_namespace):
    said = caller.send(alert())
    events = envkit_audit.events(said.correlation_id, count=2)
    assert kinds(events) == ["gateway.crd.created", "gateway.signal.received"]
    created = next(event for event in events if event["event_type"] == "gateway.crd.created")
    assert created["event_data"]["request"] == said.body["request"]
    assert (created["namespace"], created["event_outcome"]) == (envkit_namespace, "success")


def test_of_a_repeat(gateway, caller, alert, envkit_audit):
    same = alert()
    caller.send(same)
    said = caller.send(same)
    events = envkit_audit.events(said.correlation_id, count=2)
    assert kinds(events) == ["gateway.signal.deduplicated", "gateway.signal.received"]
    assert {event["event_data"].get("count") for event in events} == {None, 2}


def test_of_who_was_turned_away(gateway, caller, alert, envkit_audit, envkit_tokens):
    said = caller.send(alert(), token=envkit_tokens.unauthorized)
    (event,) = envkit_audit.events(said.correlation_id)
    assert (event["event_type"], event["event_outcome"]) == ("gateway.auth.denied", "failure")


def test_the_callers_own_correlation_id_is_kept(gateway, caller, alert, envkit_audit):
    own = f"caller-{uuid.uuid4()}"
    assert caller.send(alert(), **{"X-Correlation-ID": own}).correlation_id == own
    assert len(envkit_audit.events(own, count=2)) == 2


def test_it_outlives_the_server(serve, caller, alert, envkit_audit):
    server = serve()
    said = [caller.send(alert(), url=server.url) for _ in range(5)]
    server.stop()  # at once: the events are still in the buffer of the process' store
    for one in said:
        assert len(envkit_audit.events(one.correlation_id, count=2)) == 2
