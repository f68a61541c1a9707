"""Whether a step failed because its engine stopped answering: the engine is asked, its clients' words tell anything."""

from __future__ import annotations

from datetime import datetime

from envkit.base.errors import EngineStopped, EnvironmentFailed
from envkit.inventory.drivers import Drivers


def explained(drivers: Drivers, step: str, error: EnvironmentFailed) -> EnvironmentFailed:
    """The error of a step, or `EngineStopped` with the time of day when the engine does not answer any more."""
    seen = datetime.now().astimezone()
    reason = drivers.runtime.silence()
    if not reason:
        return error
    said = error.message.partition("\n")[0]
    return EngineStopped(
        f"{drivers.engine} at {drivers.engine_url} stopped answering at {seen:%H:%M:%S}: {reason}",
        hint="start the engine again (`doctor` tells whether it answers), then `down`: it removes what is left",
        detail=f"{step} failed of it: {said}",
    )
