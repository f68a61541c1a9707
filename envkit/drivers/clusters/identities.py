"""Creates identities (ServiceAccounts with rights and tokens), and checks each one by requests to the API server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from envkit.base import labels
from envkit.base.paths import Paths, write_private
from envkit.base.waiting import Cancel
from envkit.drivers.clusters.api import Api, ApiError
from envkit.drivers.clusters.apply import Applier
from envkit.drivers.clusters.steps import Steps

if TYPE_CHECKING:
    from envkit.config.models import Access, Identity

RBAC = "rbac.authorization.k8s.io"
MADE_FOR = "identity"
"""The value of the role label of all objects that this module makes. Objects from manifests have no such label."""

RENEW_SECONDS = 15.0
"""The time limit in seconds for the renewal of a token, with repeated calls. It is short because `env` waits for it."""


class Renewal(Protocol):
    """The data for the renewal of a token; `envkit.inventory.state.Renewal` implements it."""

    @property
    def identity(self) -> str:
        """The name of the identity and of its token file."""

    @property
    def namespace(self) -> str:
        """The ServiceAccount's namespace."""

    @property
    def account(self) -> str:
        """The ServiceAccount's name."""

    @property
    def seconds(self) -> int:
        """The lifetime of the token to request, in seconds."""

    @property
    def audiences(self) -> tuple[str, ...]:
        """The audiences of the token to request; empty for the API server's own audience."""


@dataclass(frozen=True)
class Subject:
    """An identity with its name and its environment."""

    name: str
    identity: Identity
    environment: str

    @property
    def account(self) -> str:
        """The ServiceAccount's name."""
        return self.identity.account or self.name

    @property
    def user(self) -> str:
        """The identity's user name in the API server."""
        return f"system:serviceaccount:{self.identity.namespace}:{self.account}"

    @property
    def role(self) -> str:
        """The name of the configured ClusterRole, else the identity's name if it has rules, else an empty string."""
        return self.identity.role or (self.name if self.identity.rules else "")


def establish(subject: Subject, applier: Applier, api: Api, steps: Steps) -> None:
    """Create the ServiceAccount and its rights. Raises `ClusterError` with the name of the failed step."""
    steps.run(f"identity {subject.name}: account and rights", lambda: _apply(subject, applier, api, steps))


def prove(subject: Subject, api: Api, paths: Paths, steps: Steps) -> None:
    """Request and check the configured token, and check the configured rights.

    Raises `ClusterError` with the name of the failed step.
    """
    name, identity = subject.name, subject.identity
    if identity.token:
        token = identity.token

        def request() -> str:
            text = steps.ask(
                lambda: new_token(api, identity.namespace, subject.account, token.seconds, token.audiences)
            )
            write_private(paths.tokens / name, text)
            return text

        text = steps.run(f"identity {name}: token", request)
        steps.run(f"identity {name}: token proved", lambda: _prove_token(subject, api, steps, text))
    if identity.can or identity.cannot:
        steps.run(f"identity {name}: rights proved", lambda: _prove_rights(subject, api, steps))


def remove_unwanted(subjects: Sequence[Subject], api: Api, environment: str, steps: Steps) -> bool:
    """Remove the rights and accounts of identities that are no longer configured.

    Returns whether any identity, configured or not, existed before. A right that is left over would make a check of
    rights pass by mistake.
    """
    wanted = {path for subject in subjects for path, _ in objects(subject)}
    marks, before = quote(f"{labels.ENV}={environment},{labels.ROLE}={MADE_FOR}"), False
    for kind in ("clusterrolebindings", "rolebindings", "clusterroles", "serviceaccounts"):
        everywhere = "/api/v1/serviceaccounts" if kind == "serviceaccounts" else f"/apis/{RBAC}/v1/{kind}"
        found = steps.ask(partial(api.ask, "GET", f"{everywhere}?labelSelector={marks}"))
        for metadata in (item["metadata"] for item in found["items"]):
            before = True
            path = path_of(kind, metadata["name"], metadata.get("namespace", ""))
            if path not in wanted and not metadata.get("deletionTimestamp"):
                steps.report(f"removing {kind[:-1]} {metadata['name']}, which no identity needs any more")
                steps.ask(partial(api.ask, "DELETE", path))
    return before


def renew(
    paths: Paths, token: Renewal, before: Callable[[str], object] = lambda _: None, cancel: Cancel | None = None
) -> str:
    """Request a new token, call `before` with it, write it into the token file, and return it.

    Raises `ClusterError` if the API server issues no token. An exception of `before` is not caught.
    """
    api = Api.of(paths.kubeconfig)
    steps = Steps(RENEW_SECONDS, lambda _: None, cancel or Cancel())
    text = steps.run(
        f"new token for {token.identity}",
        lambda: steps.ask(
            lambda: new_token(api, token.namespace, token.account, token.seconds, tuple(token.audiences))
        ),
    )
    before(text)
    write_private(paths.tokens / token.identity, text)
    return text


def new_token(api: Api, namespace: str, account: str, seconds: int, audiences: tuple[str, ...]) -> str:
    """Request one token and return it."""
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": seconds, **({"audiences": list(audiences)} if audiences else {})},
    }
    answer = api.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", body)
    return str(answer["status"]["token"])


def objects(subject: Subject) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the API path and the body of each object of an identity, in the order of application."""
    identity, namespace = subject.identity, subject.identity.namespace
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(subject, subject.account, namespace)}
    yield path_of("serviceaccounts", subject.account, namespace), account
    if identity.rules:
        rules = [
            {key: value for key, value in rule.model_dump(mode="json").items() if value} for rule in identity.rules
        ]
        rules = [{"apiGroups": [""], **rule} for rule in rules]
        body = {"kind": "ClusterRole", "metadata": _metadata(subject, subject.role), "rules": rules}
        yield path_of("clusterroles", subject.role), {"apiVersion": f"{RBAC}/v1", **body}
    if subject.role:
        yield from _bindings(subject)


def _bindings(subject: Subject) -> Iterator[tuple[str, dict[str, Any]]]:
    name = f"envkit-{subject.name}"
    who = {"kind": "ServiceAccount", "name": subject.account, "namespace": subject.identity.namespace}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": subject.role}
    common = {"apiVersion": f"{RBAC}/v1", "roleRef": role, "subjects": [who]}
    if not subject.identity.namespaces:
        body = {**common, "kind": "ClusterRoleBinding", "metadata": _metadata(subject, name)}
        yield path_of("clusterrolebindings", name), body
    for namespace in subject.identity.namespaces:
        body = {**common, "kind": "RoleBinding", "metadata": _metadata(subject, name, namespace)}
        yield path_of("rolebindings", name, namespace), body


def _metadata(subject: Subject, name: str, namespace: str = "") -> dict[str, Any]:
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "labels": {labels.ENV: subject.environment, labels.ROLE: MADE_FOR}}


def path_of(kind: str, name: str, namespace: str = "") -> str:
    """Return the API path of a ServiceAccount or of an RBAC object; `kind` is the plural in lower case."""
    group = "/api/v1" if kind == "serviceaccounts" else f"/apis/{RBAC}/v1"
    return f"{group}/{f'namespaces/{namespace}/' if namespace else ''}{kind}/{name}"


def _apply(subject: Subject, applier: Applier, api: Api, steps: Steps) -> None:
    for path, body in objects(subject):
        try:
            steps.ask(partial(applier.put, body))
        except ApiError as error:
            if error.status != 422 or "roleRef" not in body:
                raise
            steps.ask(partial(api.ask, "DELETE", path))  # the API server does not change the role of a binding
            steps.ask(partial(applier.put, body))


def _prove_token(subject: Subject, api: Api, steps: Steps, token: str) -> None:
    audiences = subject.identity.token.audiences if subject.identity.token else ()
    spec = {"token": token, **({"audiences": list(audiences)} if audiences else {})}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}

    def attempt() -> str | None:
        status = api.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body).get("status") or {}
        if not status.get("authenticated"):
            return f"not authenticated: {status.get('error', 'no reason given')}"
        known_as = str(status["user"]["username"])
        return None if known_as == subject.user else f"authenticated as {known_as}, not {subject.user}"

    steps.until(attempt, f"a TokenReview that accepts {subject.user}")


def _prove_rights(subject: Subject, api: Api, steps: Steps) -> None:
    """Wait until the API server allows each right in `can` and denies each in `cannot`.

    A wait is necessary because the authorizer applies a change of RBAC a moment later.
    """
    for access, expected in [(one, True) for one in subject.identity.can] + [
        (one, False) for one in subject.identity.cannot
    ]:
        question = _review(subject, access)

        def attempt(question: dict[str, Any] = question, expected: bool = expected) -> str | None:
            status = api.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", question)["status"]
            allowed = bool(status.get("allowed"))
            reason = f" ({status['reason']})" if status.get("reason") else ""
            return None if allowed == expected else f"{'allowed' if allowed else 'denied'}{reason}"

        verb = "may" if expected else "may not"
        steps.until(attempt, f"{subject.user} {verb} {_said(access)}")


def _review(subject: Subject, access: Access) -> dict[str, Any]:
    resource, _, sub = access.resource.partition("/")
    asked = {
        "verb": access.verb, "group": access.group, "resource": resource, "subresource": sub,
        "namespace": access.namespace, "name": access.name,
    }  # fmt: skip
    place = subject.identity.namespace
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{place}", "system:authenticated"]
    attributes = {key: value for key, value in asked.items() if value}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": subject.user, "groups": groups, "resourceAttributes": attributes},
    }


def _said(access: Access) -> str:
    what = f"{access.resource}.{access.group}" if access.group else access.resource
    named = f" {access.name}" if access.name else ""
    return f"{access.verb} {what}{named}{f' in {access.namespace}' if access.namespace else ''}"
