"""A small client for probes of an API server. It uses plain HTTP, because `import kubernetes` alone takes 0.3 s."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit.base import kubeconfig
from envkit.base.errors import ClusterError
from envkit.base.kubeconfig import Access
from envkit.base.waiting import TryAgain

if TYPE_CHECKING:
    from envkit.drivers.clusters.connections import Connections

CALL_SECONDS = 5.0
"""The timeout in seconds for one call; callers repeat a call that takes longer."""

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FINGERPRINT = "/api/v1/namespaces/kube-system/configmaps/envkit"


class Busy(TryAgain):
    """The API server did not answer, or answered that it is busy.

    `after` is the value of the header Retry-After in seconds, or 0.
    """


class ApiError(ClusterError):
    """The API server rejected a request; `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """An answer of the API server; `after` is the value of the header Retry-After in seconds, or 0."""

    status: int
    body: Any
    after: float = 0.0

    def reason(self) -> str:
        """Return the reason of a failed call for people: the HTTP status and the API server's message."""
        said = self.body.get("message") if isinstance(self.body, Mapping) else str(self.body).strip()[:300]
        return f"{self.status} {said}".strip()


@dataclass(frozen=True)
class Wanted:
    """The objects that a cluster must contain after its bootstrap. An `up` with nothing to do checks them."""

    namespaces: frozenset[str] = frozenset()
    accounts: frozenset[tuple[str, str]] = frozenset()
    fingerprint: str = ""


@dataclass
class Api:
    """A client for one API server. It keeps connections open, and several threads can use it."""

    access: Access
    seconds: float = CALL_SECONDS

    @classmethod
    def of(cls, path: Path, context: str | None = None) -> Api:
        """Return a client for the API server that a kubeconfig file names, in `context` or the current context."""
        return cls(kubeconfig.read(path, context))

    def request(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json",
        seconds: float | None = None,
    ) -> Answer:  # fmt: skip
        """Make one call without repeating it; return the answer. Raises `Busy` if there is no answer."""
        import http.client

        headers = {"Accept": "application/json", "Content-Type": content_type}
        if self.access.token:
            headers["Authorization"] = f"Bearer {self.access.token}"
        data = None if body is None else json.dumps(body).encode()
        try:
            got = self._connections.request(method, path, data, headers, seconds or self.seconds)
        except (http.client.HTTPException, OSError) as error:
            raise Busy(f"{method} {path}: no answer: {error}") from error
        return Answer(got.status, _decoded(got.data), _seconds(got.headers.get("Retry-After")))

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Make one call; return the body of a successful answer.

        Raises `Busy` if there is no answer or for the status 429 or 5xx, `ApiError` for any other failure.
        """
        answer = self.request(method, path, body, **more)
        if answer.status == 429 or answer.status >= 500:
            raise Busy(f"{method} {path.partition('?')[0]}: {answer.reason()}", answer.after)
        if answer.status >= 400:
            raise ApiError(f"{method} {path.partition('?')[0]}: {answer.reason()}", answer.status)
        return answer.body

    # The probes return None if the check passes, else the reason.

    def readyz(self, *, but: Sequence[str] = ()) -> str | None:
        """Return None if the API server reports that it is ready, else the reason. Ignores the checks in `but`."""
        query = "&".join(f"exclude={check}" for check in but)
        return self._probe(
            f"/readyz?{query}" if query else "/readyz", lambda answer: None if answer.status == 200 else answer.reason()
        )

    def node_ready(self, count: int = 1) -> str | None:
        """Return None if at least `count` nodes exist and all nodes are Ready, else the reason."""
        return self._probe("/api/v1/nodes", lambda answer: _nodes_unready(answer, count))

    def may_everything(self) -> str | None:
        """Return None if this client has the administrator's rights, else the reason.

        Since Kubernetes 1.29, kubeadm grants these rights shortly after /readyz passes.
        """
        attributes = {"verb": "*", "group": "*", "resource": "*"}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        try:
            status = self.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)["status"]
        except (Busy, ApiError) as error:
            return error.message
        return None if status.get("allowed") else "the administrator has no rights yet"

    def system_namespaces(self) -> str | None:
        """Return None if `kube-system` and `default` exist, else the reason.

        Since Kubernetes 1.27 they can appear after /readyz passes.
        """
        for name in ("kube-system", "default"):
            seen = self._probe(
                f"/api/v1/namespaces/{name}", lambda answer: None if answer.status == 200 else answer.reason()
            )
            if seen is not None:
                return seen
        return None

    def default_account(self) -> str | None:
        """Return None if the ServiceAccount `default/default` exists, else the reason.

        Pods need this account. The controllers create it, so it does not exist without them.
        """
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        return self._probe(path, lambda answer: None if answer.status == 200 else answer.reason())

    def version(self) -> tuple[int, int]:
        """Return the API server's major and minor version, without the `+` that some distributions append."""
        said = self.ask("GET", "/version")
        return int(said["major"]), int(re.sub(r"\D.*", "", said["minor"]))

    def give_pod_range(self, wanted: str) -> str | None:
        """Set the pod range of the only node, unless the node has one already.

        Returns None, or the reason if there is no node yet.
        """
        found = self.ask("GET", "/api/v1/nodes").get("items") or []
        if not found:
            return "no node registered yet"
        if not found[0]["spec"].get("podCIDR"):
            path = f"/api/v1/nodes/{found[0]['metadata']['name']}"
            body = {"spec": {"podCIDR": wanted, "podCIDRs": [wanted]}}
            self.ask("PATCH", path, body, content_type="application/merge-patch+json")
        return None

    def missing(self, wanted: Wanted) -> list[str]:
        """Return descriptions of what is in `wanted` but not in the cluster. Raises `Busy` or `ApiError`."""
        found = self.ask("GET", "/api/v1/namespaces")["items"]
        active = {item["metadata"]["name"] for item in found if item["status"].get("phase") == "Active"}
        lacking = [f"namespace {name}" for name in sorted(wanted.namespaces - active)]
        accounts = {
            (space, item["metadata"]["name"])
            for space in sorted({space for space, _ in wanted.accounts})
            for item in self.ask("GET", f"/api/v1/namespaces/{space}/serviceaccounts")["items"]
        }
        lacking += [f"ServiceAccount {namespace}/{name}" for namespace, name in sorted(wanted.accounts - accounts)]
        marked = (self.find(FINGERPRINT) or {}).get("data") or {}
        if marked.get("fingerprint") != wanted.fingerprint:
            return [*lacking, "the bootstrap as it is configured now"]
        crds = json.loads(marked.get("applied", "{}")).get("crds", [])
        return lacking + [f"CRD {name}" for name in crds if not self.established(name)]

    def established(self, crd: str) -> bool:
        """Return whether the CRD exists and the API server serves it."""
        return condition(self.find(f"{CRDS}/{crd}") or {}, "Established")

    def kinds(self, api_version: str) -> frozenset[str] | None:
        """Return the kinds of an apiVersion; None if the API server does not serve this apiVersion."""
        found = self.find(f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}")
        return frozenset(str(one["kind"]) for one in found["resources"]) if found else None

    def apply(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Apply one object with server-side apply; `path` is the object's API path. Returns the new object."""
        sent = f"{path}?fieldManager=envkit&force=true"
        return dict(self.ask("PATCH", sent, body, content_type="application/apply-patch+yaml"))

    def find(self, path: str) -> dict[str, Any] | None:
        """Return the answer for an API path (such as an object), or None if it does not exist."""
        try:
            return dict(self.ask("GET", path))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _probe(self, path: str, judge: Any) -> str | None:
        try:
            answer = self.request("GET", path, seconds=2.0)
        except Busy as error:
            return error.message
        return str(seen) if (seen := judge(answer)) is not None else None

    @cached_property
    def _connections(self) -> Connections:
        from envkit.drivers.clusters.connections import shared

        return shared(self.access)


def condition(item: Mapping[str, Any], kind: str) -> bool:
    """Return whether the object's condition of that type is True."""
    found = (item.get("status") or {}).get("conditions") or []
    return any(entry.get("type") == kind and entry.get("status") == "True" for entry in found)


def _nodes_unready(answer: Answer, count: int) -> str | None:
    if answer.status != 200:
        return answer.reason()
    items = answer.body.get("items") or []
    if len(items) < count:
        return f"{len(items)} of {count} nodes registered"
    return next((_why(item) for item in items if not condition(item, "Ready")), None)


def _why(node: Mapping[str, Any]) -> str:
    found: Iterable[Mapping[str, Any]] = (node.get("status") or {}).get("conditions") or []
    said = next((entry.get("message", "") for entry in found if entry.get("type") == "Ready"), "no status yet")
    return f"node {node['metadata']['name']} is not Ready: {said}"


def _decoded(data: bytes) -> Any:
    with suppress(ValueError):
        return json.loads(data)
    return data.decode(errors="replace")


def _seconds(header: str | None) -> float:
    return float(header) if header and header.isdecimal() else 0.0
