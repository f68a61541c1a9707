"""Undo an `up` that failed: remove what it made, in order, and report problems."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from envkit.base.errors import EngineError, EnvkitError
from envkit.base.paths import Paths
from envkit.config.models import Environment
from envkit.inventory import state
from envkit.inventory.drivers import Drivers
from envkit.operations.effects import Effects
from envkit.operations.remove import all_tasks, is_own_folder, said
from envkit.planning.facts import Instance
from envkit.planning.plan import CLUSTER

Failed = Callable[[Environment, Drivers, Exception], None]


def rollback(effects: Effects, keep: bool, error: Exception, failed: Failed | None) -> None:
    """Collect evidence, then remove what this run made, unless `keep` is true. Report problems of the removal.

    If `failed` is given, this function calls it and does not collect evidence itself.
    """
    note = effects.control.stream.note
    if failed:
        failed(effects.environment, effects.drivers, error)
    elif folder := _evidence(effects, error):
        note(f"evidence in {folder}")
    if keep:
        note("left as it is (--keep); `down` removes it")
        return
    if effects.started or effects.made_cluster or effects.made_network:
        note("taking down what this run made")
    problems = undo(effects)
    for problem in problems:
        note(f"while taking down: {problem}")
    if problems and isinstance(error, EnvkitError):
        there = sorted({*effects.made, *([CLUSTER] if effects.made_cluster else [])}) or ["its network"]
        error.message += f"\nwhat this run made could not be taken down, and may still be there: {', '.join(there)}"
    with suppress(OSError):  # removes an empty folder only: a record stays
        effects.paths.folder.rmdir()


def _evidence(effects: Effects, error: BaseException) -> Path | None:
    from envkit.operations.gather import of_failed_up  # this import takes as long as an `up` with nothing to do

    gathered = of_failed_up(effects.environment, effects.paths, effects.drivers, effects.control, error)
    return gathered.path if gathered else None


def undo(effects: Effects) -> list[str]:
    """Remove what one `up` made, and return a line for each problem."""
    environment, paths, drivers = effects.environment, effects.paths, effects.drivers
    tasks: list[Callable[[], object]] = [partial(drivers.runtime.remove, found) for found in _made(effects)]
    if effects.made_cluster:
        tasks.append(drivers.cluster.delete)
    problems = all_tasks(tasks)
    if effects.made_network:
        problems += all_tasks([lambda: _forget(environment, paths, drivers)])
    if not problems and state.read(paths) is None:
        paths.begun.unlink(missing_ok=True)
    return list(map(said, problems))


def _made(effects: Effects) -> list[Instance]:
    """Return the instances that one `up` recorded, and those that carry the label and did not exist before.

    A signal can end a step after the engine has made a container and before the step has recorded it.
    """
    before = {it.id for it in (*effects.facts.instances.values(), *effects.facts.strays)}
    made = {it.id: it for it in effects.made.values()}
    with suppress(EngineError):  # if the engine does not answer, removing the recorded instances reports that
        there = effects.drivers.runtime.observe(effects.environment.name)
        made |= {it.id: it for it in there if it.id not in before}
    return list(made.values())


def _forget(environment: Environment, paths: Paths, drivers: Drivers) -> None:
    """Remove the network and the files of an environment if it has no services any more."""
    if not drivers.runtime.observe(environment.name):
        drivers.networks.remove_all(environment.name)
        shutil.rmtree(paths.folder, ignore_errors=True)


def forget_files(environment: Environment, paths: Paths, drivers: Drivers) -> None:
    """Remove the files that `Placement.settle` made for an environment that never came up.

    If a kind cluster wrote its kubeconfig, the files stay: `down` removes them with the cluster.
    """
    with suppress(EnvkitError, OSError):
        if environment.cluster.has_nodes and not paths.kubeconfig.exists():
            for name in ("pki", "secrets"):
                shutil.rmtree(paths.folder / name, ignore_errors=True)
            paths.folder.rmdir()
            return
        if not environment.cluster.has_nodes and not drivers.runtime.observe(environment.name):
            shutil.rmtree(paths.folder, ignore_errors=True)
            if is_own_folder(paths.services):
                paths.services.rmdir()
