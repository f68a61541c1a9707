"""Creates and applies Kubernetes objects of any kind; retries if the API server is overloaded or does not answer."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from envkit.base.errors import SuiteError
from envkit.base.waiting import Cancel
from envkit.drivers.clusters.api import Api, ApiError, Busy
from envkit.drivers.clusters.steps import Steps
from envkit.suite.environment import Environment

T = TypeVar("T")
Report = Callable[[str], None]

SECONDS = 30.0
"""Seconds for one object, with retries. Without this limit, the setup of a suite once waited for ever."""


def apply(body: Mapping[str, Any], *, api: Api | None = None, seconds: float = SECONDS) -> dict[str, Any]:
    """Create the object or change it to match `body` (server-side apply), and return the object.

    Retries after 429, 5xx and timeouts, with pauses of 1, 2, 4 s. Raises `SuiteError` after `seconds`, or if the API
    server refuses the object.
    """
    return Objects(api).apply(body, seconds=seconds)


def create_with_retry(body: Mapping[str, Any], *, api: Api | None = None, seconds: float = SECONDS) -> dict[str, Any]:
    """Create the object and return it; retry in the same cases as `apply`.

    If the answer to an attempt was lost, and the next attempt gets "already exists", it returns the existing object if
    the earlier attempt created it. Raises `SuiteError`. If the API server refused the object, the error's `__cause__`
    is an `ApiError` with the HTTP status.
    """
    return Objects(api).create(body, seconds=seconds)


class Objects:
    """Creates and applies objects in one API server; by default as the administrator, with the file in KUBECONFIG."""

    def __init__(self, api: Api | None = None, report: Report = lambda _line: None) -> None:
        self.api = api or admin()
        self._report = report
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}
        self._lock = threading.Lock()

    def apply(self, body: Mapping[str, Any], *, seconds: float = SECONDS) -> dict[str, Any]:
        """Create the object or change it to match `body`; see the function `apply`."""
        steps = self._steps(seconds)

        def call() -> dict[str, Any]:
            try:
                return self.api.apply(f"{self.place(body)}/{_name(body)}", body)
            except ApiError as error:
                if error.status == 409:  # another worker applied the object at the same moment
                    raise Busy(error.message) from error
                raise

        return _reason("applying", body, partial(steps.ask, call))

    def create(self, body: Mapping[str, Any], *, seconds: float = SECONDS) -> dict[str, Any]:
        """Create the object and return it; see the function `create_with_retry`."""
        steps = self._steps(seconds)
        author = f"envkit-suite-{uuid.uuid4().hex[:12]}"
        unanswered = False

        def call() -> dict[str, Any]:
            nonlocal unanswered
            place = self.place(body)
            try:
                return dict(self.api.ask("POST", f"{place}?fieldManager={author}", body))
            except Busy:
                unanswered = True
                raise
            except ApiError as error:
                found = self.api.find(f"{place}/{_name(body)}") if error.status == 409 and unanswered else None
                if found is None or not _is_ours(found, author, body):
                    raise
                return found

        return _reason("creating", body, partial(steps.ask, call))

    def place(self, body: Mapping[str, Any]) -> str:
        """Return the URL path of the object's collection. Raises `Busy` if the API server does not serve the kind."""
        version, kind = str(body["apiVersion"]), str(body["kind"])
        plural, namespaced = self._discovered(version, kind)
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if not namespaced:
            return f"{root}/{plural}"
        return f"{root}/namespaces/{body['metadata'].get('namespace') or 'default'}/{plural}"

    def _discovered(self, version: str, kind: str) -> tuple[str, bool]:
        """Return the plural name of a kind, and whether it is namespaced.

        Raises `Busy` if the API server does not serve the kind, because it can serve a new kind a moment later.
        """
        with self._lock:
            known = self._kinds.get((version, kind))
        if known:
            return known
        listed = self.api.find(f"/apis/{version}" if "/" in version else f"/api/{version}") or {}
        for one in listed.get("resources") or []:
            if one["kind"] == kind and "/" not in one["name"]:
                with self._lock:
                    return self._kinds.setdefault((version, kind), (str(one["name"]), bool(one["namespaced"])))
        raise Busy(f"the API server does not serve {version} {kind} yet")

    def _steps(self, seconds: float) -> Steps:
        return Steps(seconds, self._report, Cancel())


def _reason(doing: str, body: Mapping[str, Any], work: Callable[[], T]) -> T:
    """Return the result of `work`. If `work` fails, raise a `SuiteError` that names the action and the object."""
    try:
        return work()
    except Busy as error:
        raise SuiteError(
            f"{doing} {_shown(body)}: still refused at its deadline: {error.message}",
            hint="the API server throttles or does not run: see `envkit status` and `envkit logs`",
        ) from error
    except ApiError as error:
        raise SuiteError(f"{doing} {_shown(body)}: {error.message}") from error


def _is_ours(found: Mapping[str, Any], author: str, body: Mapping[str, Any]) -> bool:
    """Return whether the field manager `author` created the object.

    The API server records no field manager for an object without content. Such an object
    counts as created by `author`.
    """
    entries = found["metadata"].get("managedFields") or []
    nothing = set(body) <= {"apiVersion", "kind", "metadata"} and set(body["metadata"]) <= {"name", "namespace"}
    return any(entry.get("manager") == author for entry in entries) or (nothing and not entries)


def _name(body: Mapping[str, Any]) -> str:
    return str(body["metadata"]["name"])


def _shown(body: Mapping[str, Any]) -> str:
    place = body["metadata"].get("namespace")
    return f"{body['kind']} {place + '/' if place else ''}{_name(body)}"


def admin() -> Api:
    """Return a client of the API server that KUBECONFIG names. Raises `SuiteError` if the file cannot be read."""
    path = Environment().kubeconfig
    try:
        return _client(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise SuiteError(f"KUBECONFIG names {path}, which cannot be read: {error.strerror}") from error


@lru_cache(maxsize=4)
def _client(path: Path, _written: int) -> Api:
    """Return a client, cached for each version of a kubeconfig, so that calls reuse the client's open connections."""
    return Api.of(path)
