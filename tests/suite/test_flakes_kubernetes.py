"""Tests of flaky patterns with a cluster: first as suites wrote them, then with `envkit.suite`.

The first form fails, the second form passes.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import urllib3

from envkit.drivers.clusters.api import Answer, Api, ApiError, Busy
from envkit.suite import (
    Environment,
    SuiteError,
    Tokens,
    apply,
    create_namespace,
    create_with_retry,
    delete_namespace,
    eventually,
)  # fmt: skip
from envkit.suite.namespaces import wait_until_active
from envkit.suite.objects import Objects
from envkit.suite.tokens import claims_of, issue_token
from tests.suite.servers import silent

pytestmark = [pytest.mark.e2e, pytest.mark.embedded]

WORKERS = 12
NAMESPACES = "/api/v1/namespaces"


def config_map(namespace: str, name: str = "one", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, **metadata}}


def namespace_body(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@contextmanager
def terminating(admin: Api) -> Iterator[str]:
    """Yield a namespace that stays Terminating for a while, because an object in it has a finalizer."""
    name = create_namespace("old", api=admin)
    held = config_map(name, "held", finalizers=["example.org/hold"])
    create_with_retry(held, api=admin)
    delete_namespace(name, api=admin)
    eventually(lambda: admin.ask("GET", f"{NAMESPACES}/{name}")["status"]["phase"] == "Terminating", what="Terminating")
    try:
        yield name
    finally:
        apply({**held, "metadata": {**held["metadata"], "finalizers": []}}, api=admin)


# A namespace was used before it was Active, or while an old one of its name was still Terminating


def test_flake_a_name_that_is_used_again_is_still_terminating(admin: Api) -> None:
    with terminating(admin) as name:
        with pytest.raises(ApiError) as exists:
            admin.ask("POST", NAMESPACES, namespace_body(name))
        assert exists.value.status == 409, "which suites took for: it is there, so it can be used"
        with pytest.raises(ApiError, match="being terminated") as refused:
            admin.ask("POST", f"{NAMESPACES}/{name}/configmaps", config_map(name))
        assert refused.value.status == 403


def test_gone_a_namespace_of_create_namespace_is_active_and_new(admin: Api) -> None:
    with terminating(admin) as old:
        name = create_namespace("old", api=admin)
        assert name != old
        assert admin.ask("GET", f"{NAMESPACES}/{name}")["status"]["phase"] == "Active"
        admin.ask("POST", f"{NAMESPACES}/{name}/configmaps", config_map(name))
        with pytest.raises(SuiteError, match="last seen: it is Terminating"):
            wait_until_active(old, api=admin, seconds=0.3)
        delete_namespace(name, api=admin)


def test_flake_workers_that_name_by_the_clock_meet(admin: Api) -> None:
    name = f"clock-{int(time.time())}"
    gate = threading.Barrier(WORKERS)

    def work(_worker: int) -> int:
        gate.wait(30)
        return Api(admin.access).request("POST", NAMESPACES, namespace_body(name)).status

    with ThreadPoolExecutor(WORKERS) as pool:
        assert Counter(pool.map(work, range(WORKERS))) == {201: 1, 409: WORKERS - 1}
    delete_namespace(name, api=admin)


def test_gone_twelve_workers_at_once_have_each_their_own(admin: Api) -> None:
    gate = threading.Barrier(WORKERS)

    def work(_worker: int) -> str:
        gate.wait(30)
        name = create_namespace("parallel", api=Api(admin.access))
        admin.ask("POST", f"{NAMESPACES}/{name}/configmaps", config_map(name))
        return name

    with ThreadPoolExecutor(WORKERS) as pool:
        names = list(pool.map(work, range(WORKERS)))
    assert len({*names}) == WORKERS
    for name in names:
        delete_namespace(name, api=admin)


# "too many requests": the API server throttled every client except the administrator


FLOW = "flowcontrol.apiserver.k8s.io"


@dataclass
class Throttled:
    """A ServiceAccount with few seats at the API server, all of them taken until `release`."""

    api: Api
    release: Callable[[], None]


@pytest.fixture
def throttled(admin: Api) -> Iterator[Throttled]:
    """Yield a throttled ServiceAccount under a real priority level that rejects requests beyond its share."""
    place = create_namespace("throttled", api=admin)
    version, shares = flow_version(admin)
    user = f"system:serviceaccount:{place}:worker"
    for body in (*account(place), *flow(place, version, shares, user)):
        apply(body, api=admin)
    asked = {"spec": {"user": user, "resourceAttributes": {"verb": "create", "resource": "namespaces"}}}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", **asked}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    eventually(lambda: admin.ask("POST", path, review)["status"]["allowed"], what="the worker's rights")
    token = issue_token(place, "worker", api=admin)
    seats = Seats(admin, token)
    worker = Api(replace(admin.access, token=token, certificate="", key=""))
    try:
        eventually(lambda: seats.full(worker), what="no seat left for the worker", seconds=30)
        yield Throttled(worker, seats.close)
    finally:
        seats.close()
        admin.request("DELETE", f"/apis/{FLOW}/{version}/flowschemas/{place}")
        admin.request("DELETE", f"/apis/{FLOW}/{version}/prioritylevelconfigurations/{place}")
        admin.request("DELETE", f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{place}")
        delete_namespace(place, api=admin)


class Seats:
    """Open requests that never send their bodies: each one holds a seat until the test closes it."""

    def __init__(self, admin: Api, token: str) -> None:
        self._context = ssl.create_default_context(cadata=admin.access.ca)
        self._url = urllib3.util.parse_url(admin.access.server)
        self._token, self._held = token, list[ssl.SSLSocket]()

    def full(self, worker: Api) -> bool:
        """Return whether the API server rejects the worker now; if not, take another seat."""
        if worker.request("GET", f"{NAMESPACES}/default").status == 429:
            return True
        plug = urllib3.util.connection.create_connection((str(self._url.host), int(self._url.port or 443)), timeout=10)
        taken = self._context.wrap_socket(plug, server_hostname=str(self._url.host))
        taken.sendall(
            f"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n".encode()
        )
        self._held.append(taken)
        return False

    def close(self) -> None:
        """Close all held requests."""
        while self._held:
            self._held.pop().close()


def flow_version(admin: Api) -> tuple[str, str]:
    """Return the API version of this API server, and its name for concurrency shares."""
    listed = admin.ask("GET", f"/apis/{FLOW}")["preferredVersion"]["version"]
    return listed, "assuredConcurrencyShares" if listed in ("v1beta1", "v1beta2") else "nominalConcurrencyShares"


def account(place: str) -> list[dict[str, Any]]:
    group = "rbac.authorization.k8s.io"
    who = {"kind": "ServiceAccount", "name": "worker", "namespace": place}
    role = {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "worker", "namespace": place}},
        {
            "apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": place}, "roleRef": role,
            "subjects": [who],
        },
    ]  # fmt: skip


def flow(place: str, version: str, shares: str, user: str) -> list[dict[str, Any]]:
    limited = {shares: 1, "limitResponse": {"type": "Reject"}}
    rule = {
        "subjects": [{"kind": "User", "user": {"name": user}}],
        "resourceRules": [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
        ],
    }
    spec = {"priorityLevelConfiguration": {"name": place}, "matchingPrecedence": 50, "rules": [rule]}
    kind = {"apiVersion": f"{FLOW}/{version}", "metadata": {"name": place}}
    return [
        {**kind, "kind": "PriorityLevelConfiguration", "spec": {"type": "Limited", "limited": limited}},
        {**kind, "kind": "FlowSchema", "spec": spec},
    ]


def test_flake_a_throttled_creation_is_a_failed_test(throttled: Throttled) -> None:
    with pytest.raises(Busy, match="429"):
        throttled.api.ask("POST", NAMESPACES, namespace_body("never-made"))


def test_gone_a_throttled_creation_is_tried_until_there_is_room(throttled: Throttled) -> None:
    said: list[str] = []

    def report(line: str) -> None:
        said.append(line)
        throttled.release()  # the API server has rejected one request; from now on it has free seats

    name = create_namespace("patient", api=throttled.api, report=report)
    assert said and "429" in said[0]
    assert Objects(throttled.api).apply(config_map(name))["metadata"]["uid"]
    delete_namespace(name, api=throttled.api)


def test_what_stays_throttled_is_told_at_the_deadline(throttled: Throttled) -> None:
    with pytest.raises(SuiteError, match="still refused at its deadline: POST /api/v1/namespaces: 429"):
        create_namespace("never", api=throttled.api, seconds=1.5)


# An answer was lost, and the repeated request failed because the object already existed


class LosesAnswers(Api):
    """A client that loses the API server's answer to its first creation."""

    lost = False

    def request(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        answer = super().request(method, path, body, **more)
        if method == "POST" and not self.lost:
            self.lost = True
            raise Busy("the connection was cut")
        return answer


class IsBusyOnce(Api):
    """A client whose first creation gets 503; before the second, another client has created the object."""

    busy = False

    def request(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        if method == "POST" and not self.busy:
            self.busy = True
            return Answer(503, {"message": "come again"})
        return super().request(method, path, body, **more)


def test_flake_a_repeated_creation_exists_already(admin: Api) -> None:
    place, api = create_namespace("lost", api=admin), LosesAnswers(admin.access)
    path = f"{NAMESPACES}/{place}/configmaps"
    with pytest.raises(Busy):
        api.ask("POST", path, config_map(place))
    with pytest.raises(ApiError, match="already exists"):
        api.ask("POST", path, config_map(place))
    delete_namespace(place, api=admin)


def test_gone_what_the_lost_attempt_made_is_returned(admin: Api) -> None:
    place, api = create_namespace("lost", api=admin), LosesAnswers(admin.access)
    made = create_with_retry({**config_map(place), "data": {"by": "us"}}, api=api)
    assert made["metadata"]["uid"] and api.lost
    with pytest.raises(SuiteError, match="already exists"):
        create_with_retry(config_map(place), api=admin)
    with pytest.raises(SuiteError, match="already exists"):
        create_with_retry({**config_map(place), "data": {"by": "others"}}, api=IsBusyOnce(admin.access))
    delete_namespace(place, api=admin)


# The set-up of tokens hung without end, and no test ran


def test_flake_a_call_without_a_deadline_hangs(admin: Api) -> None:
    with silent() as port:
        waiting = threading.Thread(target=lambda: ask_without_deadline(port), daemon=True)
        waiting.start()
        waiting.join(1.0)
        assert waiting.is_alive(), "and nothing will ever end it"


def ask_without_deadline(port: int) -> None:
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", f"http://127.0.0.1:{port}/", retries=False, timeout=None)


def test_gone_every_call_ends_and_says_what_it_was(admin: Api) -> None:
    with silent() as port:
        dead = Api(replace(admin.access, server=f"https://127.0.0.1:{port}"), seconds=0.3)
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa", "namespace": "default"}}
        with pytest.raises(SuiteError, match="creating ServiceAccount default/sa: still refused at its deadline"):
            create_with_retry(body, api=dead, seconds=0.5)
        with pytest.raises(SuiteError, match="applying ServiceAccount default/sa"):
            apply(body, api=dead, seconds=0.5)


# A token expired while the suite ran


def test_flake_the_variable_keeps_the_token_of_the_beginning(environment: Environment, tmp_path: Any) -> None:
    old = environment["GATEWAY_AUTHORIZED_TOKEN"]
    file = tmp_path / "token"
    file.write_text(issue_token("kubernaut-system", "gateway-authorized"))  # `env` renews it in the same way
    renewed = Environment({"GATEWAY_AUTHORIZED_TOKEN": old, "GATEWAY_AUTHORIZED_TOKEN_FILE": str(file)})
    assert renewed["GATEWAY_AUTHORIZED_TOKEN"] == old, "what a suite that reads variables goes on to send"
    assert Tokens(renewed).authorized == file.read_text() != old


def test_gone_a_token_near_its_end_is_renewed_for_everybody(
    environment: Environment, variables: dict[str, str], tmp_path: Any, admin: Api
) -> None:
    file = tmp_path / "token"
    file.write_text(issue_token("kubernaut-system", "gateway-authorized", seconds=600))
    words = {**variables, "GATEWAY_AUTHORIZED_TOKEN_FILE": str(file)}
    first = file.read_text()
    assert Tokens(Environment(words)).authorized == first
    almost = time.time() + 500  # of 600 seconds
    after = Tokens(Environment(words), clock=lambda: almost).authorized
    assert after != first
    assert file.read_text() == after, "other processes have it, too"
    assert claims_of(after)["sub"] == "system:serviceaccount:kubernaut-system:gateway-authorized"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": after}}
    assert admin.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]["authenticated"]
