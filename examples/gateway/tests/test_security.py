"""Authentication and authorization of callers, by TokenReview and SubjectAccessReview."""

from __future__ import annotations

import pytest

from envkit.suite import apply
from envkit.suite.tokens import issue_token
from tests.conftest import GROUP, allowed_to


def test_without_a_token(gateway, caller, alert, envkit_namespace, requests_in):
    said = caller.send(alert(), Authorization="")
    assert (said.status, said.body["status"]) == (401, "denied")
    assert requests_in(envkit_namespace) == []


@pytest.mark.parametrize("words", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer not.a.token"])
def test_with_something_else(gateway, caller, alert, words):
    assert caller.send(alert(), Authorization=words).status == 401


def test_an_account_that_may_not(gateway, caller, alert, envkit_tokens, envkit_namespace, requests_in):
    said = caller.send(alert(), token=envkit_tokens.unauthorized)
    assert said.status == 403
    assert "gateway-unauthorized" in said.body["reason"]
    assert requests_in(envkit_namespace) == []


def test_a_right_in_one_namespace_is_none_in_another(
    gateway, caller, alert, envkit_namespace, envkit_admin, requests_in
):
    who = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sender", "namespace": envkit_namespace}}
    role = {
        "apiVersion": f"{GROUP}/v1", "kind": "Role", "metadata": {"name": "sender", "namespace": envkit_namespace},
        "rules": [{"apiGroups": ["kubernaut.ai"], "resources": ["remediationrequests"], "verbs": ["create"]}],
    }  # fmt: skip
    binding = {
        "apiVersion": f"{GROUP}/v1", "kind": "RoleBinding",
        "metadata": {"name": "sender", "namespace": envkit_namespace},
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "sender"},
        "subjects": [{"kind": "ServiceAccount", "name": "sender", "namespace": envkit_namespace}],
    }  # fmt: skip
    for body in (who, role, binding):
        apply(body, api=envkit_admin)
    asked = {
        "verb": "create", "group": "kubernaut.ai", "resource": "remediationrequests", "namespace": envkit_namespace,
    }  # fmt: skip
    allowed_to(envkit_admin, f"system:serviceaccount:{envkit_namespace}:sender", asked)
    token = issue_token(envkit_namespace, "sender", api=envkit_admin)
    assert caller.send(alert(), token=token).status == 201
    assert caller.send(alert(namespace="production"), token=token).status == 403
    assert len(requests_in(envkit_namespace)) == 1


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"alerts": []}', b'{"alerts": [{"labels": {"pod": "x"}}]}'])
def test_what_is_no_alert(gateway, caller, body):
    said = caller.send(body)
    assert (said.status, said.body["status"]) == (400, "malformed")


def test_a_body_that_is_too_large_is_not_read(gateway, caller):
    assert caller.send(b" " * (gateway.settings.max_body + 1)).status == 413
