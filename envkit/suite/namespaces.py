"""Creates namespaces for tests, with a unique name, and waits until they are Active."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from envkit.base.errors import NotReady, SuiteError
from envkit.base.waiting import until
from envkit.drivers.clusters.api import Api, ApiError, Busy
from envkit.suite.objects import Objects, Report, admin

ACTIVE_SECONDS = 10.0
"""Time limit in seconds for the creation of a namespace with retries. The wait until it is Active has it as well."""

LABEL = "envkit.suite"
"""The label of every namespace that this module creates, with the value `namespace`.

With this label a user can find the namespaces that a killed suite left behind.
"""

SLOWEST_POLL = 0.1


def create_namespace(
    prefix: str = "test", *, api: Api | None = None, labels: Mapping[str, str] | None = None,
    seconds: float = ACTIVE_SECONDS, report: Report = lambda _line: None,
) -> str:  # fmt: skip
    """Create a namespace, wait until it is Active, and return its name.

    The name has the prefix, the name of the pytest worker if there is one, and 40 random bits. So it never collides
    with an older namespace that is still Terminating. Retries after 429, 5xx and timeouts. Raises `SuiteError` if
    the API server refuses, or if the creation or the wait takes longer than `seconds`.
    """
    api = api or admin()
    name = unique_name(prefix)
    metadata = {"name": name, "labels": {**(labels or {}), LABEL: "namespace"}}
    objects = Objects(api, report)
    objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, seconds=seconds)
    wait_until_active(name, api=api, seconds=seconds)
    return name


def wait_until_active(name: str, *, api: Api | None = None, seconds: float = ACTIVE_SECONDS) -> None:
    """Wait until the namespace exists and is Active. Raises `SuiteError` after `seconds`."""
    asked = api or admin()

    def attempt() -> str | None:
        try:
            found: dict[str, Any] = asked.find(f"/api/v1/namespaces/{name}") or {}
        except (Busy, ApiError) as error:
            return error.message
        phase = (found.get("status") or {}).get("phase", "absent")
        return None if phase == "Active" else f"it is {phase}"

    try:
        until(attempt, what=f"namespace {name} Active", seconds=seconds, slowest=SLOWEST_POLL)
    except NotReady as error:
        raise SuiteError(error.message, hint="use a new name for each test's namespace (`unique_name`)") from error


def delete_namespace(name: str, *, api: Api | None = None) -> None:
    """Request the deletion of the namespace without waiting for its end: the name is never used again.

    Ignores errors of the API server, because `down` removes the cluster with all namespaces.
    """
    with suppress(Busy, ApiError):
        (api or admin()).request("DELETE", f"/api/v1/namespaces/{name}")


@contextmanager
def namespace(prefix: str = "test", **options: Any) -> Iterator[str]:
    """Create a namespace with `create_namespace` and yield its name; delete the namespace when the context ends."""
    name = create_namespace(prefix, **options)
    try:
        yield name
    finally:
        delete_namespace(name, api=options.get("api"))


def unique_name(prefix: str = "test") -> str:
    """Return a unique DNS label (at most 63 characters) that begins with the prefix."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    stem = re.sub(r"[^a-z0-9]+", "-", f"{prefix}-{worker}".lower()).strip("-") or "test"
    return f"{stem[:50].rstrip('-')}-{uuid.uuid4().hex[:10]}"
