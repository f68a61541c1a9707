"""Each server has its own metrics, so tests in one process do not conflict."""

from __future__ import annotations

from gateway.metrics import Metrics


def signals(server, outcome):
    return server.metrics.registry.get_sample_value("gateway_signals_total", {"outcome": outcome})


def test_what_became_of_signals_is_counted(gateway, caller, alert, envkit_tokens):
    same = alert()
    for _ in range(3):
        caller.send(same)
    caller.send(alert(), token=envkit_tokens.unauthorized)
    assert [signals(gateway, name) for name in ("created", "duplicate", "denied")] == [1.0, 2.0, 1.0]
    assert gateway.metrics.registry.get_sample_value("gateway_request_seconds_count") == 4.0


def test_two_servers_count_apart(serve, caller, alert):
    one, other = serve(), serve()
    caller.send(alert(), url=one.url)
    assert (signals(one, "created"), signals(other, "created")) == (1.0, None)


def test_they_are_served_as_text(gateway, caller, alert):
    caller.send(alert())
    answer = caller.get("/metrics")
    assert answer.status == 200
    assert b'gateway_signals_total{outcome="created"} 1.0' in answer.data


def test_a_registry_can_be_the_tests_own(serve, settings, caller, alert, envkit_metrics):
    server = serve(settings, Metrics(envkit_metrics.registry))
    caller.send(alert(), url=server.url)
    assert envkit_metrics.value("gateway_signals_total", {"outcome": "created"}) == 1.0
