"""`pause`: freeze the whole environment until `up` resumes it. Frozen parts use no processor time, but keep memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from envkit.base.abilities import able
from envkit.base.control import Control
from envkit.base.errors import EnvironmentFailed, UsageError
from envkit.base.paths import Paths
from envkit.config.models import Environment
from envkit.drivers.clusters.base import Pauses
from envkit.inventory import state
from envkit.inventory.drivers import Drivers
from envkit.operations.list import run_of
from envkit.operations.locking import locked
from envkit.operations.ownership import ours
from envkit.operations.state_checks import not_up
from envkit.planning import plan
from envkit.planning.plan import CLUSTER


def pause(environment: Environment, paths: Paths, drivers: Drivers, control: Control, up_command: str) -> list[str]:
    """Pause every running service and the cluster, and return their names. Parts that are paused already stay paused.

    Raises `UsageError` while a `run` uses the environment, `NotUp` if nothing of it exists, and `EnvironmentFailed` if
    a part could not be paused; then every service is resumed.
    """
    with locked(paths, environment.timeout, control.stream, control.cancel):
        if user := run_of(paths):
            raise UsageError(f"environment {environment.name} is used by {user}", hint="pause it when that has ended")
        found = [it for it in ours(environment, drivers) if it.state in ("running", "paused")]
        tasks: dict[str, Callable[[], object]] = {it.service: partial(drivers.runtime.pause, it) for it in found}
        if CLUSTER in plan.select(environment, ()) and drivers.cluster.observe().state in ("running", "paused"):
            tasks[CLUSTER] = partial(_pause_cluster, drivers)
        if not tasks:
            raise not_up(environment.name, up_command)
        problems = _all(tasks)
        if problems:
            _all({it.service: partial(drivers.runtime.resume, it) for it in found})
            raise EnvironmentFailed(
                "not everything could be paused; services were resumed:\n" + "\n".join(f"  - {it}" for it in problems),
                hint="can this engine freeze containers? (rootless ones on cgroup v1 cannot); `up` repairs the rest",
            )
        _record_pause(paths)
        return sorted(tasks)


def _pause_cluster(drivers: Drivers) -> None:
    """Pause the parts of the cluster that are not services; its services are paused like all other services."""
    if cluster := able(drivers.cluster, Pauses):
        cluster.pause()


def _all(tasks: dict[str, Callable[[], object]]) -> list[str]:
    """Run all tasks in parallel, wait for each, and return a line for each that failed."""
    with ThreadPoolExecutor(8, thread_name_prefix="pause") as pool:
        futures = {name: pool.submit(task) for name, task in tasks.items()}
    problems = []
    for name, future in futures.items():
        error = future.exception()
        if error is not None:
            problems.append(f"{name}: {getattr(error, 'message', repr(error))}")
    return problems


def _record_pause(paths: Paths) -> None:
    """Set the record's status to paused. `env` needs this, because the port of a paused service accepts connections."""
    record = state.read(paths)
    if record:
        state.write(paths, replace(record, status=state.PAUSED))
