"""Bearer authentication: the API server checks the token (TokenReview) and the right (SubjectAccessReview)."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from envkit.datastorage.apiserver import ApiServerError
from envkit.datastorage.problems import Problem

LOG = logging.getLogger(__name__)
VERBS = {"GET": "get", "HEAD": "get", "POST": "create"}
REVIEWS_AT_ONCE = 8
MAX_REMEMBERED = 1_000  # results of checks; the gate drops the oldest first
_AUTHENTICATION = "/apis/authentication.k8s.io/v1/tokenreviews"
_AUTHORIZATION = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class Reviewer(Protocol):
    """The only method of the API server's client that the gate uses."""

    def create(self, path: str, body: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """POST ``body`` and return the object in the answer.

        Raises ApiServerError if the call fails or takes longer than about ``seconds``.
        """
        ...


@dataclass(frozen=True)
class Target:
    """The Kubernetes Service that represents DataStorage in RBAC: a caller needs the right to get or create it."""

    namespace: str
    name: str


@dataclass(frozen=True)
class _Verdict:
    user: str | None  # None: the token is not valid
    allowed: bool
    until: float


class Gate:
    """Checks the bearer token of each request against the API server.

    It caches the result of each check for ``remember`` seconds, so a revoked right stays valid for at most that time.
    One check takes at most ``timeout`` seconds.
    """

    def __init__(
        self,
        reviewer: Reviewer,
        target: Target,
        *,
        timeout: float,
        remember: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reviewer = reviewer
        self._target = target
        self._timeout = timeout
        self._remember = remember
        self._clock = clock
        self._verdicts: dict[tuple[str, str], _Verdict] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[_Verdict]] = {}
        self._threads = ThreadPoolExecutor(REVIEWS_AT_ONCE, "datastorage-review")

    async def admit(self, authorization: str | None, method: str) -> str:
        """Return the caller's user name.

        Raises Problem with status 401 if the token is missing or not valid, 403 if the caller has no right, and 503 if
        the API server does not answer.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthorized("a bearer token is required")
        verdict = await self._verdict(token.strip(), VERBS.get(method, method.lower()))
        if verdict.user is None:
            raise _unauthorized("the bearer token is not valid")
        if not verdict.allowed:
            what = f"{VERBS.get(method, method.lower())} service {self._target.namespace}/{self._target.name}"
            raise Problem(HTTPStatus.FORBIDDEN, "forbidden", f"{verdict.user} is not allowed to {what}")
        return verdict.user

    def close(self) -> None:
        """Stop the threads that call the API server, without waiting for them."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _verdict(self, token: str, verb: str) -> _Verdict:
        key = (hashlib.sha256(token.encode()).hexdigest(), verb)
        found = self._verdicts.get(key)
        if found is not None and self._clock() < found.until:
            return found
        if key not in self._asking:  # parallel requests with the same token share one check
            self._asking[key] = asyncio.create_task(self._ask(token, verb))
            self._asking[key].add_done_callback(lambda _: self._asking.pop(key, None))
        verdict = await asyncio.shield(self._asking[key])
        self._verdicts.pop(key, None)
        self._verdicts[key] = verdict
        if len(self._verdicts) > MAX_REMEMBERED:
            del self._verdicts[next(iter(self._verdicts))]
        return verdict

    async def _ask(self, token: str, verb: str) -> _Verdict:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                return await loop.run_in_executor(self._threads, self._review, token, verb)
        except (TimeoutError, ApiServerError) as exc:
            reason = str(exc) or f"no answer within {self._timeout:g} s"
            LOG.warning("the API server does not answer", extra={"reason": reason})
            detail = f"the token cannot be reviewed: {reason}"
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "service-unavailable", detail, headers={"Retry-After": "1"}
            ) from exc

    def _review(self, token: str, verb: str) -> _Verdict:
        until = self._clock() + self._remember
        status = self._status(_AUTHENTICATION, "authentication.k8s.io/v1", "TokenReview", {"token": token})
        if status.get("authenticated") is not True:
            return _Verdict(None, False, until)
        user = status["user"]
        spec = {
            "user": user["username"],
            "resourceAttributes": {
                "namespace": self._target.namespace,
                "verb": verb,
                "resource": "services",
                "name": self._target.name,
            },
        } | {name: user[name] for name in ("uid", "groups", "extra") if user.get(name)}
        access = self._status(_AUTHORIZATION, "authorization.k8s.io/v1", "SubjectAccessReview", spec)
        return _Verdict(user["username"], access.get("allowed") is True, until)

    def _status(self, path: str, version: str, kind: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        body = {"apiVersion": version, "kind": kind, "spec": spec}
        answer = self._reviewer.create(path, body, self._timeout).get("status")
        return answer if isinstance(answer, Mapping) else {}


def _unauthorized(detail: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
