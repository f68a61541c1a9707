"""Tests of bootstrap steps, identities and tokens, without a cluster."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from envkit.base.errors import Cancelled, ClusterError
from envkit.base.kubeconfig import Access, parse, render
from envkit.base.waiting import Cancel
from envkit.config.models import Identity
from envkit.drivers.clusters.api import Answer, ApiError, Busy, condition
from envkit.drivers.clusters.bootstrap_wanted import accounts
from envkit.drivers.clusters.identities import Subject, objects
from envkit.drivers.clusters.steps import Steps
from envkit.drivers.clusters.tokens import ends_within, expires_at


def token(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


def steps(seconds: float = 5.0, said: list[str] | None = None) -> Steps:
    return Steps(seconds, (said if said is not None else []).append, Cancel(), first_pause=0.001)


def test_expiry_is_read_from_the_token() -> None:
    assert expires_at(token(exp=1000)) == 1000.0
    assert ends_within(token(exp=1000), 60, clock=lambda: 941.0)
    assert not ends_within(token(exp=1000), 60, clock=lambda: 939.0)


@pytest.mark.parametrize("text", ["", "opaque", "a.b.c", token(sub="x")])
def test_what_is_no_token_has_ended(text: str) -> None:
    assert ends_within(text, 0.0)


def test_a_step_is_timed() -> None:
    said: list[str] = []
    assert steps(said=said).run("one", lambda: 7) == 7
    assert said == ["one: 0.0 s"]


def test_a_step_that_fails_is_named_with_its_time() -> None:
    def work() -> None:
        raise ApiError("403 no", 403)

    with pytest.raises(ClusterError, match=r"the step `two` failed \(0.0 s\): 403 no"):
        steps().run("two", work)


def test_a_step_that_hangs_is_named_with_the_deadline() -> None:
    run = steps(0.1)
    with pytest.raises(ClusterError, match=r"`three` did not end within the 0.1 s .* last seen: still nothing"):
        run.run("three", lambda: run.until(lambda: "still nothing", "something"))


def test_cancelling_is_not_a_failure_of_the_step() -> None:
    run = steps()
    run.cancel.set(15)
    with pytest.raises(Cancelled):
        run.run("four", lambda: run.until(lambda: "no", "something"))


def test_a_busy_server_is_asked_again() -> None:
    answers: list[Any] = [Busy("429"), Busy("503", 0.002), "yes"]
    said: list[str] = []

    def call() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert steps(said=said).ask(call) == "yes"
    assert said == ["429; trying again in 0.001 s", "503; trying again in 0.002 s"]


def test_a_server_that_stays_busy_is_a_failure_with_what_it_said() -> None:
    def call() -> str:
        raise Busy("429 too many requests")

    run = steps(0.05)
    with pytest.raises(ClusterError, match=r"did not end within.*429 too many requests"):
        run.run("five", lambda: run.ask(call))


def test_an_identity_without_rules_is_an_account_alone() -> None:
    made = list(objects(Subject("nobody", Identity(namespace="n"), "env")))
    assert [path for path, _ in made] == ["/api/v1/namespaces/n/serviceaccounts/nobody"]
    assert made[0][1]["metadata"]["labels"] == {"envkit.env": "env", "envkit.role": "identity"}


def test_rules_become_a_cluster_role_bound_everywhere() -> None:
    identity = Identity.model_validate(
        {"namespace": "n", "account": "sa", "role": "r", "rules": [{"resources": "pods", "verbs": "get"}]}
    )
    made = dict(objects(Subject("me", identity, "env")))
    role = made["/apis/rbac.authorization.k8s.io/v1/clusterroles/r"]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    binding = made["/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/envkit-me"]
    assert binding["roleRef"]["name"] == "r"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "sa", "namespace": "n"}]


def test_a_role_that_exists_is_bound_in_the_namespaces_named() -> None:
    identity = Identity.model_validate({"namespace": "n", "role": "view", "namespaces": ["a", "b"]})
    paths = [path for path, _ in objects(Subject("me", identity, "env"))]
    assert paths[1:] == [
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{place}/rolebindings/envkit-me" for place in "ab"
    ]


def test_accounts_go_by_the_identitys_name_unless_they_have_their_own() -> None:
    found = accounts({"a": Identity(namespace="n"), "b": Identity(namespace="n", account="x")})
    assert found == {("n", "a"), ("n", "x")}


def test_a_kubeconfig_reads_as_it_was_written() -> None:
    access = Access("https://127.0.0.1:1234", ca="CA", certificate="CERT", key="KEY")
    assert parse(render(access, "envkit-x")) == access
    by_token = Access("https://c:6443", ca="CA", token="T")
    assert parse(render(by_token, "envkit-x", "default")) == by_token


def test_secrets_are_not_shown() -> None:
    assert "KEY" not in repr(Access("s", key="KEY", certificate="KEY", token="KEY"))


@pytest.mark.parametrize("text", ["", "a: [", "contexts: []\ncurrent-context: x", "current-context: x\ncontexts: null"])
def test_an_incomplete_kubeconfig_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(ClusterError):
        parse(text)


def test_conditions() -> None:
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert condition(ready, "Ready")
    assert not condition({}, "Ready")


def test_an_answer_says_why() -> None:
    assert Answer(403, {"message": "no"}).reason() == "403 no"
    assert Answer(500, "[-]etcd failed\n").reason() == "500 [-]etcd failed"
