"""Find out whether a step failed because its engine stopped answering.

This module sends the engine a request, because the error texts of an engine's clients do not show the reason reliably.
"""

from __future__ import annotations

from datetime import datetime

from envkit.base.errors import EngineStopped, EnvironmentFailed
from envkit.inventory.drivers import Drivers


def explained(drivers: Drivers, step: str, error: EnvironmentFailed) -> EnvironmentFailed:
    """Return `EngineStopped` with the time of day if the engine does not answer any more, else the step's own error."""
    seen = datetime.now().astimezone()
    reason = drivers.runtime.silence()
    if not reason:
        return error
    said = error.message.partition("\n")[0]
    return EngineStopped(
        f"{drivers.engine} at {drivers.engine_url} stopped answering at {seen:%H:%M:%S}: {reason}",
        hint="start the engine again (`doctor` shows whether it answers), then `down`: it removes what is left",
        detail=f"{step} failed because of that: {said}",
    )
