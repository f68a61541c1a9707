"""The probe `command`: a command on the host must end with exit code 0."""

from typing import ClassVar, Literal

from pydantic import Field

from envkit.config.fields import Command
from envkit.config.probes import ProbeModel, Target
from envkit.drivers import probes

GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL for a command that runs longer than its attempt."""


class CommandProbe(ProbeModel):
    """Passes if the command, run on the host, ends with exit code 0."""

    costly: ClassVar[bool] = True
    type: Literal["command"] = Field(description="the kind of probe")
    command: Command = Field(description="program and arguments")

    def attempt(self, target: Target) -> str | None:
        """Run the command; return None if it ends with exit code 0, or else the reason.

        At the end of the attempt it ends the command's whole process group, with children that keep the output open.
        """
        from envkit.base.commands import run
        from envkit.base.errors import NotReady, ToolMissing

        try:
            done = run(self.command, seconds=probes.ATTEMPT_SECONDS, cancel=target.cancel, check=False, grace=GRACE)
        except NotReady:
            return f"`{' '.join(self.command)}` timed out after {probes.ATTEMPT_SECONDS:g} s"
        except ToolMissing as error:
            return error.message
        return None if done.code == 0 else f"ended with {done.code}: {done.output.strip()[-200:]}"

    def describe(self, _target: Target) -> str:
        """Return what the probe expects, for the message of a failed wait."""
        return f"exit code 0 from `{' '.join(self.command)}`"


PROBE = CommandProbe
