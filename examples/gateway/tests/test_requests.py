"""The content of RemediationRequests, and their creation when the API server throttles or refuses."""

from __future__ import annotations

from dataclasses import replace

from gateway.signals import read

from envkit.suite import apply, create_namespace, create_with_retry, delete_namespace, eventually


def throttled(settings, throttle, **more):
    return replace(settings, kubernetes_url=throttle.url, kubernetes_ca="", create_backoff=0.02, **more)


def test_it_says_what_the_alert_said(gateway, caller, alert, envkit_namespace, requests_in):
    caller.send(alert("web-7", team="shop"))
    (request,) = requests_in(envkit_namespace)
    spec = request["spec"]
    assert spec["targetResource"] == {"kind": "Pod", "name": "web-7", "namespace": envkit_namespace}
    assert (spec["severity"], spec["signalName"], spec["signalLabels"]["team"]) == (
        "critical",
        "PodCrashLooping",
        "shop",
    )
    assert spec["firingTime"] == "2025-01-01T00:00:00Z"


def test_a_name_that_another_signal_has_taken(gateway, caller, alert, envkit_namespace, envkit_admin, requests_in):
    caller.send(alert("web-0"))
    (other,) = requests_in(envkit_namespace)
    mine = alert("web-1")
    name = f"rr-{read(mine).fingerprint[:16]}"
    squatter = {
        "apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationRequest",
        "metadata": {"name": name, "namespace": envkit_namespace}, "spec": other["spec"],
    }  # fmt: skip
    create_with_retry(squatter, api=envkit_admin)
    said = caller.send(mine)
    assert said.status == 201
    assert said.body["request"].startswith(f"{envkit_namespace}/{name}-")
    assert len(requests_in(envkit_namespace)) == 3


def test_what_the_api_server_finds_invalid_is_refused_and_forgotten(
    gateway, caller, alert, envkit_namespace, envkit_redis, requests_in
):
    wrong = alert("web-2", severity="x" * 51)  # the CRD allows 50
    said = caller.send(wrong)
    assert (said.status, said.body["status"]) == (422, "refused")
    assert "severity" in said.body["reason"]
    assert not envkit_redis.exists(gateway.dedup.key(said.body["fingerprint"]))
    assert caller.send(alert("web-2")).status == 201, "the corrected alert counts as the first"
    assert len(requests_in(envkit_namespace)) == 1


def test_a_throttled_creation_is_tried_again(settings, serve, caller, alert, envkit_namespace, throttle, requests_in):
    server = serve(throttled(settings, throttle))
    throttle.refuse = 2
    said = caller.send(alert(), url=server.url)
    assert said.status == 201
    assert (throttle.refused, server.metrics.registry.get_sample_value("gateway_crd_repeats_total")) == (2, 2.0)
    assert len(requests_in(envkit_namespace)) == 1


def test_endless_throttling_is_told_and_nothing_is_remembered(
    settings, serve, caller, alert, envkit_namespace, throttle, requests_in
):
    server = serve(throttled(settings, throttle, create_attempts=3))
    throttle.refuse = 3
    same = alert()
    said = caller.send(same, url=server.url)
    assert (said.status, said.headers["Retry-After"]) == (503, "1")
    assert "429" in said.body["reason"]
    assert requests_in(envkit_namespace) == []
    assert caller.send(same, url=server.url).status == 201, "a refused alert is not remembered"


def test_a_signal_from_nowhere_goes_to_the_fallback(settings, serve, caller, alert, envkit_namespace, requests_in):
    server = serve(replace(settings, fallback_namespace=envkit_namespace))
    said = caller.send(alert(namespace="there-is-no-such-namespace"), url=server.url)
    assert said.status == 201
    assert said.body["request"].startswith(f"{envkit_namespace}/")
    (request,) = requests_in(envkit_namespace)
    assert request["spec"]["targetResource"]["namespace"] == "there-is-no-such-namespace"


def test_a_signal_from_a_namespace_that_is_going_away(
    settings, serve, caller, alert, envkit_namespace, envkit_admin, requests_in
):
    server = serve(replace(settings, fallback_namespace=envkit_namespace))
    going = create_namespace("going", api=envkit_admin)
    holder = {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "holder", "namespace": going, "finalizers": ["example.kubernaut.ai/hold"]},
    }  # fmt: skip
    create_with_retry(holder, api=envkit_admin)
    delete_namespace(going, api=envkit_admin)
    try:
        path = f"/api/v1/namespaces/{going}"
        eventually(lambda: envkit_admin.ask("GET", path)["status"]["phase"] == "Terminating", what="Terminating")
        said = caller.send(alert(namespace=going), url=server.url)
        assert said.status == 201
        assert len(requests_in(envkit_namespace)) == 1
    finally:
        apply({**holder, "metadata": {**holder["metadata"], "finalizers": []}}, api=envkit_admin)
