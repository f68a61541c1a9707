"""A command on the host ends with 0."""

from typing import ClassVar, Literal

from pydantic import Field

from envkit.config.fields import Command
from envkit.config.probes import ProbeModel, Target
from envkit.drivers import probes

GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL for a command that did not end with its attempt."""


class CommandProbe(ProbeModel):
    """Satisfied when the command, run on the host, ends with 0."""

    costly: ClassVar[bool] = True
    type: Literal["command"] = Field(description="which kind")
    command: Command = Field(description="its words; the first is the program")

    def attempt(self, target: Target) -> str | None:
        """Run it; its whole group of processes is ended with the attempt, children that hold the output open too."""
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
        """See `ProbeModel`."""
        return f"0 from `{' '.join(self.command)}`"


PROBE = CommandProbe
