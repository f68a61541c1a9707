"""A client of the API server: it checks tokens and rights, and creates RemediationRequests with retries."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import urllib3

RETRIED = (429, 500, 502, 503, 504)
REQUESTS = "/apis/kubernaut.ai/v1alpha1"


class Refused(Exception):
    """The API server refused the call; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status


class Busy(Exception):
    """At every attempt, the API server throttled the call or did not answer."""


class Cluster:
    """A client of one API server, with the token of one ServiceAccount."""

    def __init__(
        self, url: str, ca: str, token: Callable[[], str], *, timeout: float, attempts: int, backoff: float
    ) -> None:
        context = ssl.create_default_context(cadata=ca or None)
        self._pool = urllib3.PoolManager(maxsize=64, ssl_context=context, retries=False, timeout=timeout)
        self._url, self._token = url.rstrip("/"), token
        self._attempts, self._backoff = attempts, backoff

    def who(self, token: str) -> Mapping[str, Any] | None:
        """Return the user of a bearer token, by TokenReview, or None if the token is invalid."""
        review = _review("authentication", "TokenReview", {"token": token})
        status = self._insist("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
        return status["user"] if status.get("authenticated") else None

    def may_create(self, user: Mapping[str, Any], namespace: str) -> bool:
        """Return whether the user may create RemediationRequests in the namespace, by SubjectAccessReview."""
        asked = {"verb": "create", "group": "kubernaut.ai", "resource": "remediationrequests", "namespace": namespace}
        spec = {"user": user["username"], "groups": user.get("groups") or [], "resourceAttributes": asked}
        review = _review("authorization", "SubjectAccessReview", spec)
        answer = self._insist("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer["status"].get("allowed"))

    def create(self, request: Mapping[str, Any], tell: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Create a RemediationRequest and return it; call `tell` before each retry. Raises `Refused` or `Busy`."""
        path = f"{REQUESTS}/namespaces/{request['metadata']['namespace']}/remediationrequests"
        return self._insist("POST", path, request, tell)

    def find(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a RemediationRequest. Raises `Refused` or `Busy`."""
        return self._insist("GET", f"{REQUESTS}/namespaces/{namespace}/remediationrequests/{name}")

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _insist(
        self, method: str, path: str, body: Any = None, tell: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        said = ""
        for attempt in range(self._attempts):
            if attempt:
                tell()
            try:
                answer = self._ask(method, path, body)
            except urllib3.exceptions.HTTPError as error:
                said, after = f"no answer: {error}", 0.0
            else:
                if answer.status < 400:
                    return dict(answer.json())
                said, after = f"{answer.status} {_message(answer.data)}", _after(answer)
                if answer.status not in RETRIED:
                    raise Refused(answer.status, _message(answer.data))
            if attempt < self._attempts - 1:
                time.sleep(max(after, self._backoff * 2**attempt))
        raise Busy(f"{method} {path}: {said}")

    def _ask(self, method: str, path: str, body: Any) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        return self._pool.request(method, self._url + path, body=data, headers=headers)


def _review(group: str, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": f"{group}.k8s.io/v1", "kind": kind, "spec": dict(spec)}


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data[:300].decode(errors="replace")


def _after(answer: urllib3.BaseHTTPResponse) -> float:
    said = answer.headers.get("Retry-After", "")
    return min(2.0, float(said)) if said.isdigit() else 0.0
