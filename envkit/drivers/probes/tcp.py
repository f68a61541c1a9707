"""The probe `tcp`: a port must accept a connection."""

from typing import Literal

from pydantic import Field

from envkit.config.probes import ProbeModel, Target


class TcpProbe(ProbeModel):
    """Passes if the port accepts a connection. Weak: a published port accepts before the process behind it listens."""

    type: Literal["tcp"] = Field(description="the kind of probe")
    port: str = Field(default="", description="name of the port; if empty, the service's first port")

    def attempt(self, target: Target) -> str | None:
        """Connect to the port; return None if that succeeds, or else the error."""
        from envkit.base.deadline import dial

        try:
            with dial(target.host, target.port(self.port), target.deadline()):
                return None
        except OSError as error:
            return f"no connection: {error}"

    def describe(self, target: Target) -> str:
        """Return what the probe expects, for the message of a failed wait."""
        return f"a connection on {target.host}:{target.port(self.port)}"


PROBE = TcpProbe
