"""HTTP: a status at a path."""

from typing import Annotated, Literal

from pydantic import Field

from envkit.config.fields import Text
from envkit.config.names import HEADER, HTTP_PATH
from envkit.config.probes import ProbeModel, Target
from envkit.drivers.probes.http_request import request

Header = Annotated[str, Field(pattern=HEADER)]
Path = Annotated[str, Field(pattern=HTTP_PATH)]


class HttpProbe(ProbeModel):
    """Satisfied by `status` at http://127.0.0.1:PORT/path."""

    type: Literal["http"] = Field(description="which kind")
    port: str = Field(default="", description="name of the port; the first one when empty")
    path: Path = Field(default="/", description="what is asked for, without redirects")
    status: int = Field(default=200, ge=100, le=599, description="the one that satisfies")
    headers: dict[Header, Text] = Field(default={}, description="sent along")
    scheme: Literal["http", "https"] = Field(default="http", description="`https`: whoever's certificate it is")

    def attempt(self, target: Target) -> str | None:
        """See `ProbeModel`."""
        status, body = request(
            "GET", self.path, target.port(self.port), self.scheme, target, headers=dict(self.headers)
        )
        if status == self.status:
            return None
        return f"HTTP {status}: {body[:200]}" if status else body

    def describe(self, target: Target) -> str:
        """See `ProbeModel`."""
        return f"{self.status} from {self.scheme}://{target.host}:{target.port(self.port)}{self.path}"


PROBE = HttpProbe
