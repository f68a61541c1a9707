"""A toy probe."""

from typing import Literal

from envkit.base.deadline import dial
from envkit.config.probes import ProbeModel, Target


class ToyProbe(ProbeModel):
    """A probe that succeeds when the port accepts a connection."""

    type: Literal["toy"]
    port: str = ""

    def attempt(self, target: Target) -> str | None:
        try:
            with dial(target.host, target.port(self.port), target.deadline()):
                return None
        except OSError as error:
            return f"toy: {error}"

    def describe(self, target: Target) -> str:
        return f"a toy on {target.port(self.port)}"


PROBE = ToyProbe
