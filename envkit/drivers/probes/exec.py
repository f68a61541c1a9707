"""The probe `exec`: a command in the container, or beside the process, must end with exit code 0."""

from typing import ClassVar, Literal

from pydantic import Field

from envkit.config.fields import Command
from envkit.config.probes import ProbeModel, Target


class ExecProbe(ProbeModel):
    """Passes if the command, run in the container, ends with exit code 0."""

    costly: ClassVar[bool] = True
    type: Literal["exec"] = Field(description="the kind of probe")
    command: Command = Field(description="program and arguments")

    def attempt(self, target: Target) -> str | None:
        """Run the command beside the service; return None if it ends with exit code 0, else the code and the output."""
        code, output = target.execute(self.command)
        return None if code == 0 else f"{self.command[0]} ended with {code}: {output.strip()[-200:]}"

    def describe(self, _target: Target) -> str:
        """Return what the probe expects, for the message of a failed wait."""
        return f"exit code 0 from `{' '.join(self.command)}`"


PROBE = ExecProbe
