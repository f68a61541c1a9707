"""Light access to an API server for probes: HTTP and a kubeconfig, because `import kubernetes` alone takes 0.3 s."""

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
"""One call; what hangs longer is asked again."""

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FINGERPRINT = "/api/v1/namespaces/kube-system/configmaps/envkit"


class Busy(TryAgain):
    """The API server asked to come back later or did not answer; `after` is what Retry-After said, in seconds."""


class ApiError(ClusterError):
    """The API server said no; `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """What the API server said."""

    status: int
    body: Any
    after: float = 0.0

    def reason(self) -> str:
        """For people: the message of a Status object, or the beginning of the text."""
        said = self.body.get("message") if isinstance(self.body, Mapping) else str(self.body).strip()[:300]
        return f"{self.status} {said}".strip()


@dataclass(frozen=True)
class Wanted:
    """What a bootstrapped cluster has: checked by a run of `up` that has nothing to do."""

    namespaces: frozenset[str] = frozenset()
    accounts: frozenset[tuple[str, str]] = frozenset()
    fingerprint: str = ""


@dataclass
class Api:
    """One API server, one connection kept open; safe for several threads."""

    access: Access
    seconds: float = CALL_SECONDS

    @classmethod
    def of(cls, path: Path, context: str | None = None) -> Api:
        """From a kubeconfig file."""
        return cls(kubeconfig.read(path, context))

    def request(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json",
        seconds: float | None = None,
    ) -> Answer:  # fmt: skip
        """One call, never repeated. Raises `Busy` when no answer came."""
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
        """The body of a successful answer. Raises `Busy` for 429 and 5xx, `ApiError` for any other failure."""
        answer = self.request(method, path, body, **more)
        if answer.status == 429 or answer.status >= 500:
            raise Busy(f"{method} {path.partition('?')[0]}: {answer.reason()}", answer.after)
        if answer.status >= 400:
            raise ApiError(f"{method} {path.partition('?')[0]}: {answer.reason()}", answer.status)
        return answer.body

    # Probes: None when satisfied, else what was seen

    def readyz(self, *, but: Sequence[str] = ()) -> str | None:
        """Whether the API server says that it is ready, `but` for checks that do not matter yet."""
        query = "&".join(f"exclude={check}" for check in but)
        return self._probe(
            f"/readyz?{query}" if query else "/readyz", lambda answer: None if answer.status == 200 else answer.reason()
        )

    def node_ready(self, count: int = 1) -> str | None:
        """Whether at least `count` nodes are there, and all of them Ready."""
        return self._probe("/api/v1/nodes", lambda answer: _nodes_unready(answer, count))

    def may_everything(self) -> str | None:
        """Whether we are the administrator already: since 1.29 kubeadm binds that right after /readyz."""
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
        """Whether the namespaces that every cluster has are there: since 1.27 they may come after /readyz."""
        for name in ("kube-system", "default"):
            seen = self._probe(
                f"/api/v1/namespaces/{name}", lambda answer: None if answer.status == 200 else answer.reason()
            )
            if seen is not None:
                return seen
        return None

    def default_account(self) -> str | None:
        """Whether pods can be made in `default`: the controllers run, and its ServiceAccount exists."""
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        return self._probe(path, lambda answer: None if answer.status == 200 else answer.reason())

    def version(self) -> tuple[int, int]:
        """Major and minor of the API server; a trailing `+` of some distributions is dropped."""
        said = self.ask("GET", "/version")
        return int(said["major"]), int(re.sub(r"\D.*", "", said["minor"]))

    def give_pod_range(self, wanted: str) -> str | None:
        """Give the only node its pod range, where no controller does; a node that has one keeps it."""
        found = self.ask("GET", "/api/v1/nodes").get("items") or []
        if not found:
            return "no node registered yet"
        if not found[0]["spec"].get("podCIDR"):
            path = f"/api/v1/nodes/{found[0]['metadata']['name']}"
            body = {"spec": {"podCIDR": wanted, "podCIDRs": [wanted]}}
            self.ask("PATCH", path, body, content_type="application/merge-patch+json")
        return None

    def missing(self, wanted: Wanted) -> list[str]:
        """What is wanted and not there; raises `Busy` or `ApiError` when the API server cannot be asked."""
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
        """Whether the CRD exists and its API is served."""
        return condition(self.find(f"{CRDS}/{crd}") or {}, "Established")

    def kinds(self, api_version: str) -> frozenset[str] | None:
        """The kinds that an apiVersion has here; None when the API server does not know it."""
        found = self.find(f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}")
        return frozenset(str(one["kind"]) for one in found["resources"]) if found else None

    def apply(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Server-side apply of one object at its own path."""
        sent = f"{path}?fieldManager=envkit&force=true"
        return dict(self.ask("PATCH", sent, body, content_type="application/apply-patch+yaml"))

    def find(self, path: str) -> dict[str, Any] | None:
        """The object, or None when there is none."""
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
    """Whether the object's condition of that type is True."""
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
