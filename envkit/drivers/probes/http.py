"""The probe `http`: a path must answer with the expected status."""

from typing import Annotated, Literal

from pydantic import Field

from envkit.config.fields import Text
from envkit.config.names import HEADER, HTTP_PATH
from envkit.config.probes import ProbeModel, Target
from envkit.drivers.probes.http_request import request

Header = Annotated[str, Field(pattern=HEADER)]
Path = Annotated[str, Field(pattern=HTTP_PATH)]


class HttpProbe(ProbeModel):
    """Passes if http://127.0.0.1:PORT/path answers with `status`."""

    type: Literal["http"] = Field(description="the kind of probe")
    port: str = Field(default="", description="name of the port; if empty, the service's first port")
    path: Path = Field(default="/", description="path to request; the probe follows no redirect")
    status: int = Field(default=200, ge=100, le=599, description="the expected status")
    headers: dict[Header, Text] = Field(default={}, description="headers of the request")
    scheme: Literal["http", "https"] = Field(default="http", description="`https` accepts any certificate")

    def attempt(self, target: Target) -> str | None:
        """Request the path; return None if the status is the expected one, or else the answer or the error."""
        status, body = request(
            "GET", self.path, target.port(self.port), self.scheme, target, headers=dict(self.headers)
        )
        if status == self.status:
            return None
        return f"HTTP {status}: {body[:200]}" if status else body

    def describe(self, target: Target) -> str:
        """Return what the probe expects, for the message of a failed wait."""
        return f"{self.status} from {self.scheme}://{target.host}:{target.port(self.port)}{self.path}"


PROBE = HttpProbe
