"""Waits until changed rights are in force. The API server's authorizer uses a cache, which is a moment behind."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

from envkit.base import labels
from envkit.drivers.clusters.api import Api, ApiError
from envkit.drivers.clusters.apply import Applier
from envkit.drivers.clusters.identities import MADE_FOR, RBAC, path_of
from envkit.drivers.clusters.steps import Steps


def wait_until_in_force(applier: Applier, api: Api, environment: str, steps: Steps) -> None:
    """Wait until the authorizer applies all earlier changes of rights, so that no check accepts a removed right.

    The authorizer sees the objects of each kind in the order of their changes. So this makes one ClusterRole, one
    ClusterRoleBinding and one RoleBinding, waits until these are in force, and removes them: all earlier changes are
    then in force.
    """
    name = f"envkit-last-{secrets.token_hex(4)}"
    here, role = f"{name}-here", {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [name], "verbs": ["get"]}
    labelled = {"name": name, "labels": {labels.ENV: environment, labels.ROLE: MADE_FOR}}

    def body(kind: str, **more: Any) -> dict[str, Any]:
        place = {"namespace": "default"} if kind == "RoleBinding" else {}
        return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {**labelled, **place}, **more}

    def to(user: str) -> dict[str, Any]:
        return {"roleRef": role, "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}]}

    made = {
        path_of("clusterroles", name): body("ClusterRole", rules=[rule]),
        path_of("clusterrolebindings", name): body("ClusterRoleBinding", **to(name)),
        path_of("rolebindings", name, "default"): body("RoleBinding", **to(here)),
    }
    try:
        for one in made.values():
            steps.ask(partial(applier.put, one))
        for user in (name, here):
            attributes = {"verb": "get", "resource": "configmaps", "name": name, "namespace": "default"}
            _ask_rights(user, attributes, api, steps)
    finally:
        for path in reversed(made):
            steps.ask(partial(_delete, api, path))


def _ask_rights(user: str, attributes: dict[str, str], api: Api, steps: Steps) -> None:
    question = {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }  # fmt: skip

    def attempt() -> str | None:
        status = api.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", question)["status"]
        return None if status.get("allowed") else "not yet"

    steps.until(attempt, "the latest rights to be in force")


def _delete(api: Api, path: str) -> None:
    try:
        api.ask("DELETE", path)
    except ApiError as error:
        if error.status != 404:
            raise
