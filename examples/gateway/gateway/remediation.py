"""Creates a RemediationRequest for a signal, in the signal's namespace and with a unique name."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.cluster import Cluster, Refused
from gateway.signals import Signal

RECEIVED = "gateway.kubernaut.ai/received"
"""The annotation with the time of the signal, in seconds since the epoch with a fraction."""

NAMES = 4
"""Number of names to try."""


@dataclass(frozen=True)
class Made:
    """A request: its namespace and name, and whether it existed already."""

    namespace: str
    name: str
    existed: bool = False

    @property
    def path(self) -> str:
        """Namespace and name, separated by a slash."""
        return f"{self.namespace}/{self.name}"


def make(
    cluster: Cluster, signal: Signal, *, fallback: str, recent: float, tell: Callable[[], None] = lambda: None
) -> Made:
    """Create the request for a signal, or find the one that was created for it less than `recent` seconds ago.

    The search avoids a second request if Redis has lost the signal. If the signal's namespace does not exist, or is
    Terminating, the request goes into `fallback`. Raises `Refused` or `Busy`.
    """
    try:
        return _named(cluster, signal, signal.namespace, recent, tell)
    except Refused as error:
        if error.status != 404 and "being terminated" not in str(error):
            raise
        return _named(cluster, signal, fallback, recent, tell)


def _named(cluster: Cluster, signal: Signal, namespace: str, recent: float, tell: Callable[[], None]) -> Made:
    name = first = f"rr-{signal.fingerprint[:16]}"
    for _ in range(NAMES):
        try:
            cluster.create(body(signal, namespace, name), tell)
        except Refused as error:
            if error.status != 409:
                raise
            found = cluster.find(namespace, name)
            if _is_of(found, signal) and _age(found) < recent:
                return Made(namespace, name, existed=True)
            name = f"{first}-{uuid.uuid4().hex[:6]}"
        else:
            return Made(namespace, name)
    raise Refused(409, f"{NAMES} names like {first} are taken")


def body(signal: Signal, namespace: str, name: str) -> dict[str, Any]:
    """Return the Kubernetes object of the request."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": {
            "kubernaut.ai/signal-fingerprint": signal.fingerprint[:63],
            "app.kubernetes.io/created-by": "gateway",
        },
        "annotations": {RECEIVED: repr(time.time())},
    }
    spec = {
        "firingTime": signal.firing,
        "receivedTime": now,
        "severity": signal.severity,
        "signalFingerprint": signal.fingerprint,
        "signalName": signal.name,
        "signalType": "prometheus-alert",
        "targetType": "kubernetes",
        "targetResource": {"kind": signal.kind, "name": signal.target, "namespace": signal.namespace},
        "signalLabels": dict(signal.labels),
        "signalAnnotations": dict(signal.annotations),
    }
    kind = {"apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationRequest"}
    return {**kind, "metadata": metadata, "spec": spec}


def _is_of(found: dict[str, Any], signal: Signal) -> bool:
    return bool(found["spec"].get("signalFingerprint") == signal.fingerprint)


def _age(found: dict[str, Any]) -> float:
    return time.time() - float((found["metadata"].get("annotations") or {}).get(RECEIVED, 0.0))
