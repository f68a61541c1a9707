"""The probe `audit` for the DataStorage service: it writes an audit event and reads the event back."""

import json
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from envkit.config.fields import Text
from envkit.config.names import HTTP_PATH
from envkit.config.probes import ProbeModel, Target
from envkit.drivers.probes.http_request import request

EVENT = {
    "version": "1.0",
    "event_type": "envkit.environment.ready",
    "event_category": "orchestration",
    "event_action": "probe",
    "event_outcome": "success",
    "event_data": {"probe": "envkit"},
}
"""Fields of the event that the probe writes; `event` in the configuration can replace and add fields."""

Path = Annotated[str, Field(pattern=HTTP_PATH)]


class AuditProbe(ProbeModel):
    """Passes if an audit event can be written and read back, as a client does it; used once, at creation."""

    type: Literal["audit"] = Field(description="the kind of probe")
    port: str = Field(default="", description="name of the port; if empty, the service's first port")
    path: Path = Field(default="/api/v1/audit/events", description="path of the events")
    scheme: Literal["http", "https"] = Field(default="http", description="`https` accepts any certificate")
    token: Text = Field(default="", description="bearer token, such as `${identity.NAME.token}`")
    event: dict[str, Any] = Field(
        default={}, description="fields of the event that it writes; the time and the correlation id are always new"
    )

    def attempt(self, target: Target) -> str | None:
        """Write one event and read it back by its correlation id; return None if both succeed, or else the reason."""
        where = target.port(self.port), self.scheme
        correlation = f"envkit-ready-{uuid.uuid4()}"
        event = {
            **EVENT,
            **self.event,
            "event_timestamp": datetime.now(UTC).isoformat(),
            "correlation_id": correlation,
        }
        who = {"Authorization": f"Bearer {self.token.strip()}"} if self.token else {}
        headers = {"Content-Type": "application/json", **who}
        status, body = request("POST", self.path, *where, target, body=json.dumps(event), headers=headers)
        if status != 201:
            return f"writing an event: HTTP {status}: {body[:200]}"
        status, body = request("GET", f"{self.path}?correlation_id={correlation}", *where, target, headers=who)
        if status != 200 or correlation not in body:
            return f"reading the event back: HTTP {status}: {body[:200]}"
        return None

    def describe(self, target: Target) -> str:
        """Return what the probe expects, for the message of a failed wait."""
        return f"an audit event written and read back on {target.host}:{target.port(self.port)}"


PROBE = AuditProbe
