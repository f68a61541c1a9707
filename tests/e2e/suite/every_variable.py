"""A user's suite: it uses every variable that the environment exports, through real clients.

`run` starts it; `SUITE_VARIABLES` lists the exported variables, and the last test checks that the suite used all of
them.
"""

from __future__ import annotations

import json
import os
import ssl
import threading
import time
import urllib.error
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from kubernetes import client, config

USED: set[str] = set()
GROUP, VERSION, PLURAL = "kubernaut.ai", "v1alpha1", "remediationrequests"


def env(name: str) -> str:
    USED.add(name)
    return os.environ[name]


def http(url: str, body: Any = None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


# Redis


@pytest.mark.parametrize("how", ["url", "host and port", "address"])
def test_redis(how: str) -> None:
    if how == "url":
        connection = redis.Redis.from_url(env("REDIS_URL"))
    elif how == "address":
        host, _, port = env("REDIS_ADDR").rpartition(":")
        connection = redis.Redis(host, int(port))
    else:
        connection = redis.Redis(env("REDIS_HOST"), int(env("REDIS_PORT")))
    key = f"suite:{uuid.uuid4()}"
    with connection:
        assert connection.config_get("syslog-ident") == {"syslog-ident": f"envkit:{env('ENVKIT_ENVIRONMENT')}"}
        assert connection.set(key, "value", ex=30)
        assert connection.get(key) == b"value"
        assert connection.delete(key) == 1


# PostgreSQL


@pytest.mark.parametrize("how", ["url", "parts"])
def test_postgres(how: str) -> None:
    parts = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "DB"}
    words = {key: env(f"POSTGRES_{name}") for key, name in parts.items()} if how == "parts" else {}
    with psycopg.connect(env("DATABASE_URL") if how == "url" else "", **words, connect_timeout=5) as connection:
        user, database = connection.execute("SELECT current_user, current_database()").fetchone() or ("", "")
        assert (user, database) == ("slm_user", "action_history")
        (version,) = connection.execute("SELECT max(version_id) FROM goose_db_version WHERE is_applied").fetchone() or (
            0,
        )
        assert version >= 1


# DataStorage


@pytest.mark.parametrize("prefix", ["TEST_DATA_STORAGE", "DATA_STORAGE"])
def test_datastorage(prefix: str) -> None:
    events = f"{env(f'{prefix}_URL')}/api/v1/audit/events"
    correlation = f"suite-{uuid.uuid4()}"
    event = {
        "version": "1.0",
        "event_type": "gateway.signal.received",
        "event_timestamp": datetime.now(UTC).isoformat(),
        "event_category": "gateway",
        "event_action": "received",
        "event_outcome": "success",
        "correlation_id": correlation,
        "event_data": {"quotes": "\"'", "unicode": "żółw"},
    }
    status, body = http(events, event)
    assert status == 201, body
    status, body = http(f"{events}?correlation_id={correlation}")
    found = json.loads(body)
    assert (status, found["pagination"]["total"]) == (200, 1), body
    assert found["data"][0]["event_data"] == event["event_data"]
    assert found["data"][0]["event_id"]

    status, body = http(events, {**event, "event_category": "nonsense"})
    assert (status, json.loads(body)["status"]) == (400, 400), body

    for path in ("/healthz", "/readyz"):
        assert http(env(f"{prefix}_HEALTH_URL") + path)[0] == 200
    status, body = http(env(f"{prefix}_METRICS_URL"))
    assert status == 200 and "# HELP" in body


# Kubernetes


@contextmanager
def bearer(token: str) -> Iterator[client.ApiClient]:
    """Yield a client of the kubeconfig's API server that uses a token instead of the admin's certificate."""
    settings = client.Configuration()
    config.load_kube_config(env("KUBECONFIG"), client_configuration=settings)
    settings.cert_file = settings.key_file = None
    settings.api_key, settings.api_key_prefix = {"authorization": token}, {"authorization": "Bearer"}
    with client.ApiClient(settings) as api:
        yield api


def remediation_request(name: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    spec = {
        "firingTime": now, "receivedTime": now, "severity": "critical", "signalFingerprint": uuid.uuid4().hex * 2,
        "signalName": "PodCrashLooping", "signalType": "prometheus-alert", "targetType": "kubernetes",
        "targetResource": {"kind": "Pod", "name": "web", "namespace": "production"},
    }  # fmt: skip
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "RemediationRequest", "metadata": {"name": name}, "spec": spec}


def test_admin_sees_the_bootstrap() -> None:
    with client.ApiClient(config.load_kube_config(env("KUBECONFIG"))) as api:
        phases = {item.metadata.name: item.status.phase for item in client.CoreV1Api(api).list_namespace().items}
        crd = client.ApiextensionsV1Api(api).read_custom_resource_definition(f"{PLURAL}.{GROUP}")
    assert {phases.get(name) for name in ("kubernaut-system", "production", "staging", "development")} == {"Active"}
    assert crd.spec.names.short_names == ["rr"]
    assert {row.type: row.status for row in crd.status.conditions}["Established"] == "True"


@pytest.mark.parametrize("how", ["variable", "file"])
def test_who_is_authorized_may_create(how: str) -> None:
    name = f"suite-{uuid.uuid4().hex[:12]}"
    variable = "GATEWAY_AUTHORIZED_TOKEN"
    token = env(variable) if how == "variable" else Path(env(f"{variable}_FILE")).read_text().strip()
    with bearer(token) as api:
        requests = client.CustomObjectsApi(api)
        place = (GROUP, VERSION, "production", PLURAL)
        made: Any = requests.create_namespaced_custom_object(*place, remediation_request(name))
        assert made["metadata"]["uid"]
        kept: Any = requests.get_namespaced_custom_object(*place, name)
        assert kept["spec"]["severity"] == "critical"
        wrong = remediation_request(f"{name}-wrong")
        wrong["spec"]["signalFingerprint"] = "short"
        with pytest.raises(client.ApiException) as refused:
            requests.create_namespaced_custom_object(*place, wrong)
        assert refused.value.status == 422
        requests.delete_namespaced_custom_object(*place, name)


@pytest.mark.parametrize("how", ["variable", "file"])
def test_who_is_not_authorized_may_not(how: str) -> None:
    variable = "GATEWAY_UNAUTHORIZED_TOKEN"
    token = env(variable) if how == "variable" else Path(env(f"{variable}_FILE")).read_text().strip()
    with bearer(token) as api:
        requests = client.CustomObjectsApi(api)
        with pytest.raises(client.ApiException) as refused:
            requests.create_namespaced_custom_object(GROUP, VERSION, "production", PLURAL, remediation_request("never"))
        assert refused.value.status == 403
        with pytest.raises(client.ApiException) as refused:
            requests.list_namespaced_custom_object(GROUP, VERSION, "production", PLURAL)
        assert refused.value.status == 403


@pytest.mark.parametrize("how", ["variable", "file"])
def test_the_client_of_datastorage(how: str) -> None:
    token = env("DATA_STORAGE_TOKEN") if how == "variable" else Path(env("DATA_STORAGE_TOKEN_FILE")).read_text().strip()
    with bearer(token) as api:
        review = client.AuthenticationV1Api(api).create_token_review(
            client.V1TokenReview(spec=client.V1TokenReviewSpec(token=token))
        )
    assert review.status.authenticated
    assert review.status.user.username == "system:serviceaccount:default:gateway-integration-sa"


# Connections back to this host


class Listener(BaseHTTPRequestHandler):
    """An admission webhook that denies every request with a fixed message."""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"uid": review["request"]["uid"], "allowed": False, "status": {"message": "the suite says no"}}
        body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


@contextmanager
def listener(certificates: Path) -> Iterator[int]:
    """Run the webhook on this host until the block ends, and yield its port."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / "tls.crt", certificates / "tls.key")
    with ThreadingHTTPServer((env("ENVKIT_HOST_LISTEN"), 0), Listener) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def webhook(name: str, port: int, ca: bytes) -> dict[str, Any]:
    """Return the configuration of a webhook for config maps with the label `asks`."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    url = f"https://{env('ENVKIT_HOST_ADDRESS')}:{port}/validate"
    asked = {
        "name": f"{name}.example.com", "rules": [rule], "objectSelector": {"matchLabels": {"asks": name}},
        "clientConfig": {"url": url, "caBundle": b64encode(ca).decode()}, "failurePolicy": "Fail",
        "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 10,
    }  # fmt: skip
    return {"metadata": {"name": name}, "webhooks": [asked]}


def refusal(core: client.CoreV1Api, label: str, seconds: float = 15.0) -> str:
    """Return the refusal that the API server sends; wait until it has loaded the webhook."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        name = f"suite-{uuid.uuid4().hex[:12]}"
        try:
            core.create_namespaced_config_map("production", {"metadata": {"name": name, "labels": {"asks": label}}})
        except client.ApiException as error:
            return str(error.body)
        core.delete_namespaced_config_map(name, "production")
        time.sleep(0.2)
    return "nothing was refused"


def test_the_api_server_calls_a_webhook_on_this_host() -> None:
    certificates = Path(env("ENVKIT_HOST_CERTIFICATES"))
    assert oct((certificates / "tls.key").stat().st_mode & 0o777) == "0o600"
    name = f"suite-{uuid.uuid4().hex[:12]}"
    with client.ApiClient(config.load_kube_config(env("KUBECONFIG"))) as api, listener(certificates) as port:
        hooks = client.AdmissionregistrationV1Api(api)
        hooks.create_validating_webhook_configuration(webhook(name, port, (certificates / "ca.crt").read_bytes()))
        try:
            said = refusal(client.CoreV1Api(api), name)
        finally:
            hooks.delete_validating_webhook_configuration(name)
    assert "the suite says no" in said


def test_every_exported_variable_was_used() -> None:
    exported = set(os.environ["SUITE_VARIABLES"].split(","))
    assert exported == USED
