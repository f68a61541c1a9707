"""Fixtures: a server for each test, one audit store for all tests, and unique alerts."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3
from gateway.metrics import Metrics
from gateway.server import WEBHOOK, Gateway
from gateway.settings import Settings
from redis import Redis

from envkit.drivers.clusters.api import Api
from envkit.suite import AuditStore, Environment, Tokens, apply, eventually
from envkit.suite.tokens import issue_token
from tests.proxies import Line, Throttle

ACCOUNT, PLACE = "example-gateway", "kubernaut-system"
GROUP = "rbac.authorization.k8s.io"
RULES = [
    {"apiGroups": ["kubernaut.ai"], "resources": ["remediationrequests"], "verbs": ["create", "get", "list"]},
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
]


@dataclass(frozen=True)
class Said:
    """The answer to a webhook call."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def correlation_id(self) -> str:
        return self.headers["X-Correlation-ID"]


class Caller:
    """A client with a token that sends alerts."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self._pool = urllib3.PoolManager(maxsize=64, retries=False, timeout=90)

    def send(self, alert: Any, *, url: str = "", token: str | None = None, **headers: str) -> Said:
        """Post an alert (or any body), with another token if `token` is given."""
        body = alert if isinstance(alert, bytes) else json.dumps(alert).encode()
        words = {"Authorization": f"Bearer {self.token if token is None else token}", **headers}
        answer = self._pool.request("POST", (url or self.url) + WEBHOOK, body=body, headers=words)
        return Said(answer.status, answer.json(), answer.headers)

    def storm(self, alerts: Sequence[Any], urls: Sequence[str] = ()) -> list[Said]:
        """Post all alerts at the same moment, to the servers in turn."""
        gate = threading.Barrier(len(alerts))
        places = urls or [self.url]

        def one(number: int) -> Said:
            gate.wait(60)
            return self.send(alerts[number], url=places[number % len(places)])

        with ThreadPoolExecutor(len(alerts)) as pool:
            return list(pool.map(one, range(len(alerts))))

    def get(self, path: str) -> urllib3.BaseHTTPResponse:
        return self._pool.request("GET", self.url + path)

    def close(self) -> None:
        self._pool.clear()


@pytest.fixture(scope="session")
def account(envkit_admin: Api, envkit_once: Callable[[str, Callable[[], str]], str]) -> str:
    """The Gateway's ServiceAccount. One worker creates it and waits until the authorizer accepts its rights."""

    def make() -> str:
        role = {"apiVersion": f"{GROUP}/v1", "kind": "ClusterRole", "metadata": {"name": ACCOUNT}, "rules": RULES}
        binding = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": ACCOUNT},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": PLACE}],
        }
        who = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": PLACE}}
        for body in (who, role, binding):
            apply(body, api=envkit_admin)
        for rule in RULES:
            for verb in rule["verbs"]:
                asked = {"verb": verb, "group": rule["apiGroups"][0], "resource": rule["resources"][0]}
                allowed_to(envkit_admin, f"system:serviceaccount:{PLACE}:{ACCOUNT}", asked)
        return ACCOUNT

    return envkit_once("gateway-account", make)


def allowed_to(api: Api, user: str, attributes: Mapping[str, str]) -> None:
    """Wait until the authorizer allows the action: it applies a new binding with a delay."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": ["system:authenticated"], "resourceAttributes": dict(attributes)},
    }

    def allowed() -> bool:
        return bool(api.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"])

    eventually(allowed, what=f"{user} may {attributes}")


@pytest.fixture(scope="session")
def account_token(account: str) -> str:
    return issue_token(PLACE, account)


@pytest.fixture
def settings(
    envkit_environment: Environment, envkit_redis: Redis, envkit_audit: AuditStore, account_token: str
) -> Settings:
    """The settings of this test's servers; `dataclasses.replace` changes them."""
    access = envkit_environment.kubernetes().access
    return Settings(
        redis_url=envkit_environment.redis_url,
        kubernetes_url=access.server,
        kubernetes_ca=access.ca,
        token=lambda: account_token,
        audit=envkit_audit.record,
        dedup_prefix=f"gateway-{uuid.uuid4().hex[:10]}",
        redis_timeout=15.0,  # long, because twelve workers on two cores are slow
        kubernetes_timeout=15.0,
    )


@pytest.fixture
def serve(settings: Settings) -> Iterator[Callable[..., Gateway]]:
    """A function that starts a server; all are stopped after the test."""
    running: list[Gateway] = []

    def start(chosen: Settings = settings, metrics: Metrics | None = None) -> Gateway:
        running.append(Gateway(chosen, metrics))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def gateway(serve: Callable[..., Gateway]) -> Gateway:
    """The server of this test."""
    return serve()


@pytest.fixture
def caller(request: pytest.FixtureRequest, envkit_tokens: Tokens) -> Iterator[Caller]:
    """A client with the right to send alerts, connected to this test's server if it has one."""
    url = request.getfixturevalue("gateway").url if "gateway" in request.fixturenames else ""
    made = Caller(url, envkit_tokens.authorized)
    yield made
    made.close()


@pytest.fixture
def alert(envkit_namespace: str) -> Callable[..., dict[str, Any]]:
    """A function that makes alerts in this test's namespace; by default each is about a new pod."""

    def make(pod: str = "", namespace: str = envkit_namespace, **labels: str) -> dict[str, Any]:
        named = {"alertname": "PodCrashLooping", "severity": "critical", "namespace": namespace}
        return {
            "alerts": [
                {
                    "status": "firing",
                    "labels": {**named, "pod": pod or f"web-{uuid.uuid4().hex[:8]}", **labels},
                    "annotations": {"summary": "restarts again and again"},
                    "startsAt": "2025-01-01T00:00:00Z",
                }
            ]
        }

    return make


@pytest.fixture
def requests_in(envkit_admin: Api) -> Callable[[str], list[dict[str, Any]]]:
    """A function that returns the RemediationRequests of a namespace."""

    def listed(namespace: str) -> list[dict[str, Any]]:
        path = f"/apis/kubernaut.ai/v1alpha1/namespaces/{namespace}/remediationrequests"
        return list(envkit_admin.ask("GET", path)["items"])

    return listed


@pytest.fixture
def line(envkit_environment: Environment) -> Iterator[Line]:
    """A proxy to Redis for this test, which it can cut or stall: other workers use the same Redis."""
    url = urllib3.util.parse_url(envkit_environment.redis_url)
    made = Line(str(url.host), int(url.port or 6379))
    yield made
    made.close()


@pytest.fixture
def throttle(envkit_environment: Environment, settings: Settings) -> Iterator[Throttle]:
    """A proxy to the API server that answers 429 on demand."""
    made = Throttle(settings.kubernetes_url, settings.kubernetes_ca)
    yield made
    made.close()
