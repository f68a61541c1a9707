"""Creates and updates objects in the cluster by server-side apply, with the kubernetes package's dynamic client."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from envkit.base import labels
from envkit.base.deadline import Deadline
from envkit.base.paths import make_folder
from envkit.drivers.clusters.api import CALL_SECONDS, ApiError, Busy
from envkit.drivers.clusters.manifests import Manifest

MANAGER = "envkit"
"""The field manager of server-side apply: it owns the fields that envkit sets."""


def preload() -> None:
    """Import the kubernetes client in a thread while an API server starts, because the import takes half a second."""

    def imported() -> None:
        import kubernetes.client
        import kubernetes.config
        import kubernetes.dynamic  # noqa: F401  imported ahead of its use

    threading.Thread(target=imported, name="preload").start()


class Applier:
    """Applies objects one by one.

    Several threads can use one `Applier`. They share the result of discovery (the list of kinds that the API server
    serves); a lock lets only one thread at a time request it.
    """

    def __init__(self, kubeconfig: Path, cache: Path, environment: str, context: str | None = None) -> None:
        self.environment = environment
        self._kubeconfig, self._cache, self._context = kubeconfig, cache, context
        self._lock = threading.Lock()
        self._client: Any = None  # kubernetes is not typed

    def apply(self, manifest: Manifest) -> None:
        """Create or update the object of a manifest. Raises `Busy` or `ApiError`."""
        self.put(manifest.body, str(manifest))

    def put(self, body: Mapping[str, Any], called: str = "") -> None:
        """Create the object, or update it to `body`.

        Messages of errors name the object as in `called`. Raises `Busy` or `ApiError`.
        """
        marked = labelled(body, self.environment)
        called = called or f"{body['kind']} {body['metadata']['name']}"
        with translated(f"applying {called}"):
            with self._lock:
                client = self._connected()
                resource = self._resource(client, body, called)
            place = body["metadata"].get("namespace") or "default"
            client.server_side_apply(
                resource, body=marked, namespace=place if resource.namespaced else None, field_manager=MANAGER,
                force_conflicts=True, _request_timeout=CALL_SECONDS,
            )  # fmt: skip

    def _connected(self) -> Any:
        """Return the client, created on first use with a new discovery cache.

        By default, the client keeps one such cache for each API server's address, in the temporary directory. A later
        cluster on the same port would then use the cache of the earlier cluster.
        """
        if self._client is None:
            from kubernetes import client, config, dynamic

            from envkit.base.deadline_urllib3 import bounded

            make_folder(self._cache.parent)
            self._cache.unlink(missing_ok=True)
            settings = client.Configuration()
            load: Any = config.load_kube_config
            load(str(self._kubeconfig), self._context, settings, persist_config=False)
            settings.retries = False
            connect: Any = dynamic.DynamicClient
            raw = client.ApiClient(settings)
            bounded(raw.rest_client.pool_manager, lambda: Deadline(CALL_SECONDS))
            self._client = connect(raw, cache_file=str(self._cache))
        return self._client

    def _resource(self, client: Any, body: Mapping[str, Any], called: str) -> Any:
        from kubernetes.dynamic.exceptions import ResourceNotFoundError

        kind = {"api_version": body["apiVersion"], "kind": body["kind"]}
        try:
            return client.resources.get(**kind)
        except ResourceNotFoundError:
            client.resources.invalidate_cache()  # perhaps its CRD was established a moment ago
        try:
            return client.resources.get(**kind)
        except ResourceNotFoundError as error:
            raise Busy(f"{called}: the API server does not serve it yet") from error


def labelled(body: Mapping[str, Any], environment: str) -> dict[str, Any]:
    """Return a copy of the object with the environment's label."""
    marked = copy.deepcopy(dict(body))
    marked["metadata"]["labels"] = {**(marked["metadata"].get("labels") or {}), labels.ENV: environment}
    marked["metadata"].pop("managedFields", None)
    return marked


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise `Busy` or `ApiError` in place of an exception of the kubernetes client."""
    import urllib3
    from kubernetes.client.exceptions import ApiException

    try:
        yield
    except ApiException as error:
        message = f"{doing}: {error.status} {_said(error)}"
        status = int(error.status or 0)
        if status == 429 or status >= 500 or status == 0:
            raise Busy(message, _after(error)) from error
        raise ApiError(message, status) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Busy(f"{doing}: no answer: {error}") from error


def _said(error: Any) -> str:
    import json

    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def _after(error: Any) -> float:
    value = (error.headers or {}).get("Retry-After", "")
    return float(value) if str(value).isdecimal() else 0.0
