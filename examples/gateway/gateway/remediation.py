"""A signal as a RemediationRequest, in the signal's namespace and under a name that nobody else has."""

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
"""An annotation: when the signal came, seconds since the epoch with their fraction."""

NAMES = 4
"""Names that are tried."""


@dataclass(frozen=True)
class Made:
    """A request: where, and whether it was there already."""

    namespace: str
    name: str
    existed: bool = False

    @property
    def path(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"


def make(
    cluster: Cluster, signal: Signal, *, fallback: str, recent: float, tell: Callable[[], None] = lambda: None
) -> Made:
    """Create the request for a signal, or find the one that the same signal became less than `recent` seconds ago.

    The latter keeps signals single when Redis forgot them. A signal from a namespace that is not there, or is going
    away, is put into `fallback`. Raises `Refused` or `Busy`.
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
    """The object that is sent."""
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
