"""Handles a webhook call, from the token to the answer, independent of the HTTP server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway import remediation, signals
from gateway.cluster import Busy, Cluster, Refused
from gateway.dedup import Dedup, Unavailable
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.signals import Malformed, Signal
from gateway.trail import Trail


@dataclass(frozen=True)
class Answer:
    """An answer: HTTP status, body and headers."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class Intake:
    """Handles calls in these steps: parse, authenticate, authorize, deduplicate, create. Thread-safe."""

    def __init__(self, settings: Settings, cluster: Cluster, dedup: Dedup, metrics: Metrics) -> None:
        self._settings, self._cluster, self._dedup, self._metrics = settings, cluster, dedup, metrics

    def take(self, authorization: str, body: bytes, trail: Trail) -> Answer:
        """Return the answer to a call. Every answer is counted and recorded in the audit trail."""
        answer = self._taken(authorization, body, trail)
        self._metrics.signals.labels(str(answer.body["status"])).inc()
        return answer

    def _taken(self, authorization: str, body: bytes, trail: Trail) -> Answer:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return self._denied(trail, 401, "a bearer token is required")
        try:
            user = self._cluster.who(token.strip())
            if user is None:
                return self._denied(trail, 401, "the token is not valid")
            signal = signals.read(json.loads(body))
            if not self._cluster.may_create(user, signal.namespace):
                return self._denied(trail, 403, f"{user['username']} cannot create requests in {signal.namespace}")
        except (Malformed, ValueError) as error:
            trail.add("signal.rejected", "failure", reason=str(error))
            return Answer(400, {"status": "malformed", "reason": str(error)})
        except Busy as error:
            return self._later(trail, None, f"the API server: {error}")
        return self._admitted(signal, trail)

    def _admitted(self, signal: Signal, trail: Trail) -> Answer:
        trail.add("signal.received", signal=signal)
        try:
            seen = self._dedup.seen(signal.fingerprint)
            if not seen.first:
                return self._duplicate(signal, seen.request, seen.count, trail)
            return self._first(signal, trail)
        except Unavailable as error:
            return self._later(trail, signal, f"Redis: {error}")

    def _first(self, signal: Signal, trail: Trail) -> Answer:
        settings = self._settings
        try:
            made = remediation.make(
                self._cluster, signal, fallback=settings.fallback_namespace, recent=settings.dedup_ttl,
                tell=self._metrics.repeats.inc,
            )  # fmt: skip
        except Refused as error:
            self._dedup.forget(signal.fingerprint)
            trail.add("crd.refused", "failure", signal, reason=str(error))
            return Answer(422, {"status": "refused", "fingerprint": signal.fingerprint, "reason": str(error)})
        except Busy as error:
            self._dedup.forget(signal.fingerprint)
            return self._later(trail, signal, f"the API server: {error}")
        self._dedup.became(signal.fingerprint, made.path)
        if made.existed:
            return self._duplicate(signal, made.path, 1, trail)
        trail.add("crd.created", signal=signal, request=made.path)
        return Answer(201, {"status": "created", "fingerprint": signal.fingerprint, "request": made.path})

    def _duplicate(self, signal: Signal, request: str, count: int, trail: Trail) -> Answer:
        trail.add("signal.deduplicated", signal=signal, count=count, request=request)
        said = {"status": "duplicate", "fingerprint": signal.fingerprint, "count": count, "request": request}
        return Answer(202, said)

    def _denied(self, trail: Trail, status: int, reason: str) -> Answer:
        trail.add("auth.denied", "failure", reason=reason)
        return Answer(status, {"status": "denied", "reason": reason})

    def _later(self, trail: Trail, signal: Signal | None, reason: str) -> Answer:
        trail.add("signal.postponed", "failure", signal, reason=reason)
        return Answer(503, {"status": "unavailable", "reason": reason}, {"Retry-After": "1"})
