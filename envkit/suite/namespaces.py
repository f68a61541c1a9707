"""Namespaces for tests: a name that nobody had before, Active before anything uses it."""

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
"""For a namespace to be Active, creation and repeats included."""

LABEL = "envkit.suite"
"""On every namespace made here; its value is `namespace`, so that what a killed suite left can be found."""

SLOWEST_POLL = 0.1


def create_namespace(
    prefix: str = "test", *, api: Api | None = None, labels: Mapping[str, str] | None = None,
    seconds: float = ACTIVE_SECONDS, report: Report = lambda _line: None,
) -> str:  # fmt: skip
    """Create a namespace and return its name once it is Active.

    The name is the prefix, the pytest worker's where there is one, and 40 random bits: an older namespace that is still
    Terminating never has it. 429, 5xx and silence are tried again. Raises `SuiteError` after `seconds`.
    """
    api = api or admin()
    name = unique_name(prefix)
    metadata = {"name": name, "labels": {**(labels or {}), LABEL: "namespace"}}
    objects = Objects(api, report)
    objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, seconds=seconds)
    wait_until_active(name, api=api, seconds=seconds)
    return name


def wait_until_active(name: str, *, api: Api | None = None, seconds: float = ACTIVE_SECONDS) -> None:
    """Wait until the namespace is there, Active and not about to go. Raises `SuiteError` after `seconds`."""
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
        raise SuiteError(error.message, hint="names of tests' namespaces are never used twice") from error


def delete_namespace(name: str, *, api: Api | None = None) -> None:
    """Ask for the namespace to go, and do not wait: nothing will have its name again.

    An API server that is silent now is forgiven: the environment ends with everything in it.
    """
    with suppress(Busy, ApiError):
        (api or admin()).request("DELETE", f"/api/v1/namespaces/{name}")


@contextmanager
def namespace(prefix: str = "test", **options: Any) -> Iterator[str]:
    """`create_namespace` for a `with`: deleted at its end."""
    name = create_namespace(prefix, **options)
    try:
        yield name
    finally:
        delete_namespace(name, api=options.get("api"))


def unique_name(prefix: str = "test") -> str:
    """A DNS label (at most 63 characters) that begins with the prefix and that nobody had before."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    stem = re.sub(r"[^a-z0-9]+", "-", f"{prefix}-{worker}".lower()).strip("-") or "test"
    return f"{stem[:50].rstrip('-')}-{uuid.uuid4().hex[:10]}"
