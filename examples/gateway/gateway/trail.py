"""Records the handling of a signal as audit events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gateway.settings import Audit
from gateway.signals import Signal


class Trail:
    """The audit events of one webhook call; all have its correlation id."""

    def __init__(self, audit: Audit, correlation_id: str) -> None:
        self._audit, self.correlation_id = audit, correlation_id

    def add(self, action: str, outcome: str = "success", signal: Signal | None = None, **data: Any) -> None:
        """Record an event with `data`."""
        about = {"fingerprint": signal.fingerprint, "signal": signal.name} if signal else {}
        self._audit(
            {
                "version": "1.0",
                "event_type": f"gateway.{action}",
                "event_timestamp": datetime.now(UTC).isoformat(),
                "event_category": "gateway",
                "event_action": action.rpartition(".")[2],
                "event_outcome": outcome,
                "correlation_id": self.correlation_id,
                "event_data": {**about, **data},
                **({"namespace": signal.namespace, "severity": signal.severity} if signal else {}),
            }
        )
