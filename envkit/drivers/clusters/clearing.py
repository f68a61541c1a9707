"""Deletes the objects that suites leave in a cluster: their namespaces, and custom resources outside of them.

It requests the deletions and does not wait for them, because the deletion of a namespace takes seconds, and suites use
a new name each time. A suite that uses a name again gets Kubernetes' error about a namespace that is `Terminating`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from envkit.base import labels
from envkit.base.waiting import doubling, retry
from envkit.config.models import Cluster
from envkit.drivers.clusters.api import FINGERPRINT, Api, ApiError

WORKERS = 8

SECONDS, FIRST = 20.0, 0.2
"""The time limit in seconds for one request with its repeats (a call can get no answer), and the pause before the first
repeat."""

KEPT = frozenset({"default", "local-path-storage"})
"""The namespaces of Kubernetes or kind that stay, in addition to namespaces whose names start with `kube-`."""


def clear(api: Api, cluster: Cluster, environment: str) -> tuple[int, int]:
    """Request all deletions; return the number of namespaces, and the number of requests for custom resources.

    One such request deletes all objects of one kind in one namespace (in the whole cluster, if the kind has no
    namespaces). Raises `ApiError` or `Busy`.
    """
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="clear") as pool:
        groups = pool.submit(_kinds, api)
        found = api.ask("GET", "/api/v1/namespaces").get("items") or []
        leaving = {_name(one) for one in found if one["metadata"].get("deletionTimestamp")}  # with their objects
        going = [name for name in map(_name, found) if _of_a_test(name, found, cluster, environment)]
        list(pool.map(lambda name: _delete(api, f"/api/v1/namespaces/{quote(name)}"), going))
        left = list(pool.map(lambda kind: _collections(api, kind, leaving | {*going}, environment), groups.result()))
        paths = [path for some in left for path in some]
        list(pool.map(lambda path: _delete(api, path), paths))
    return len(going), len(paths)


def _of_a_test(name: str, found: Iterable[Mapping[str, Any]], cluster: Cluster, environment: str) -> bool:
    item = next(one for one in found if _name(one) == name)
    if item["metadata"].get("deletionTimestamp"):
        return False
    ours = (item["metadata"].get("labels") or {}).get(labels.ENV) == environment
    named = {*cluster.namespaces, *(one.namespace for one in cluster.identities.values())}
    return not (ours or name in named or name in KEPT or name.startswith("kube-"))


def _kinds(api: Api) -> list[tuple[str, str, bool]]:
    """Return for each CRD that envkit applied: apiVersion, plural name, and whether its objects have a namespace."""
    import json

    mark = ((api.find(FINGERPRINT) or {}).get("data") or {}).get("applied", "{}")
    wanted = {tuple(str(name).split(".", 1)) for name in json.loads(mark).get("crds", [])}
    found = []
    for group in sorted({group for _, group in wanted}):
        said = api.find(f"/apis/{group}")
        version = said["preferredVersion"]["groupVersion"] if said else ""
        served = (api.find(f"/apis/{version}") or {}).get("resources", []) if version else []
        found += [(version, one["name"], one["namespaced"]) for one in served if (one["name"], group) in wanted]
    return found


def _collections(api: Api, kind: tuple[str, str, bool], going: set[str], environment: str) -> list[str]:
    """Return the paths of the requests that delete this kind's objects, except objects that the bootstrap made."""
    version, plural, namespaced = kind
    others = f"labelSelector={quote(f'{labels.ENV}!={environment}')}"
    items = api.ask("GET", f"/apis/{version}/{plural}?{others}").get("items") or []
    if not namespaced:
        return [f"/apis/{version}/{plural}?{others}"] if items else []
    spaces = {item["metadata"]["namespace"] for item in items} - going
    return [f"/apis/{version}/namespaces/{quote(space)}/{plural}?{others}" for space in sorted(spaces)]


def _delete(api: Api, path: str) -> None:
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
    try:
        retry(lambda: api.ask("DELETE", path, options), seconds=SECONDS, pauses=doubling(FIRST))
    except ApiError as error:
        if error.status not in (404, 409):
            raise


def _name(item: Mapping[str, Any]) -> str:
    return str(item["metadata"]["name"])
