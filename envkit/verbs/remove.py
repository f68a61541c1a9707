"""`down`, and the way back of an `up` that failed: by label, on every engine that answers, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from envkit import labels, state
from envkit.errors import EngineError, EnvironmentFailed, EnvkitError, HolderError
from envkit.facts import Instance
from envkit.paths import Paths
from envkit.runtimes import limits
from envkit.runtimes.containers import Containers
from envkit.runtimes.discovery import find_all, holding, place
from envkit.runtimes.endpoint import Endpoint
from envkit.runtimes.marked import marked_processes
from envkit.runtimes.networks import Networks

if TYPE_CHECKING:
    from envkit.effects import Effects
    from envkit.session import Session

GRACE = 3.0
"""Seconds for a service to end by itself: nothing of a test environment is worth a longer goodbye."""

KILL_SECONDS = 5.0
"""For a helper process of an earlier run to end after SIGTERM."""


def undo(session: Session, effects: Effects) -> list[str]:
    """Remove what one `up` made; what went wrong on the way."""
    made = effects.made.values()
    tasks: list[Callable[[], object]] = [partial(session.runtime.remove, found) for found in made]
    if effects.made_cluster:
        tasks.append(session.kind.delete)
    problems = _all(tasks)
    if effects.made_network:
        problems += _all([lambda: _forget(session)])
    return problems


def _forget(session: Session) -> None:
    """Network and files of an environment that has nothing in it any more."""
    if not session.runtime.observe(session.environment.name):
        session.networks.remove_all(session.environment.name)
        shutil.rmtree(session.paths.folder, ignore_errors=True)


def forget_files(session: Session) -> None:
    """What `settle` made for an environment that did not come to be; a kind cluster's files are its own business."""
    with suppress(EnvkitError, OSError):
        if session.environment.cluster.type == "kind" and not session.paths.kubeconfig.exists():
            for name in ("pki", "secrets"):
                shutil.rmtree(session.paths.folder / name, ignore_errors=True)
            session.paths.folder.rmdir()
            return
        if session.environment.cluster.type != "kind" and not session.runtime.observe(session.environment.name):
            shutil.rmtree(session.paths.folder, ignore_errors=True)
            session.paths.services.rmdir()


def _all(tasks: Iterable[Callable[[], object]]) -> list[str]:
    """Run them side by side, every one to its end."""
    with ThreadPoolExecutor(8, thread_name_prefix="remove") as pool:
        futures = [pool.submit(task) for task in tasks]
        errors = [future.exception() for future in futures]
    return [getattr(error, "message", repr(error)) for error in errors if error is not None]


def check_holder(paths: Paths, root: str) -> None:
    """Raise `HolderError` when the environment belongs to another checkout that is still there."""
    record = state.read(paths)
    if record and record.root not in ("", root) and Path(record.root).is_dir():
        raise HolderError(
            f"environment {paths.name} of this machine belongs to {record.root}, and this is {root}",
            hint="run `down` there, or `down --force` here",
        )


def down(name: str, paths: Paths, engine: str, environ: Mapping[str, str], say: Callable[[str], None]) -> list[str]:
    """Remove everything labelled as this environment; names of what went. Twice in a row is fine.

    Raises `EnvironmentFailed` listing what could not be removed.
    """
    record = state.read(paths)
    with ThreadPoolExecutor(1, thread_name_prefix="engines") as pool:
        asked = pool.submit(_engines, name, record, engine, environ)
        removed, problems = _clear_processes(name, paths, say)
        removed += end_processes(name)
        removed += [str(group) for group in limits.groups(name) if limits.remove(group)]
    endpoints, silent = asked.result()
    for endpoint in endpoints:
        gone, wrong = _clear(name, paths, endpoint, say)
        removed += gone
        problems += wrong
    if record and record.engine_url and not _seen(record, endpoints, paths):
        reason = silent.get(record.engine_url, "it is not among the engines that answer")
        problems.append(f"{record.engine} at {record.engine_url}, where the environment was brought up: {reason}")
    if problems:
        raise EnvironmentFailed(
            "not everything could be removed:\n" + "\n".join(f"  - {problem}" for problem in problems),
            hint="start that engine, then run `down` again; it goes by labels and misses nothing",
        )
    for folder in (paths.services, paths.folder):
        if folder.exists():
            shutil.rmtree(folder)
            removed.append(str(folder))
    return removed


def _engines(
    name: str, record: state.Record | None, engine: str, environ: Mapping[str, str]
) -> tuple[list[Endpoint], Mapping[str, str]]:  # fmt: skip
    """Engines to clear, and why others are silent. Where the record knows of none, a lost one may have known better."""
    if not on_processes_alone(record):
        return find_all(engine, environ)
    return holding(f"{labels.ENV}={name}", environ), {}


def on_processes_alone(record: state.Record | None) -> bool:
    """Whether no engine has anything of it: so its last `up` wrote down. Without a record every engine is asked."""
    return bool(record and record.lane == "embedded" and not record.engine)


def _clear_processes(name: str, paths: Paths, say: Callable[[str], None]) -> tuple[list[str], list[str]]:
    """Services that run as plain processes, whole trees of them."""
    from envkit.runtimes.processes import Processes, never

    runtime = Processes(paths.services, never)
    found = runtime.observe(name)
    for item in found:
        say(f"removing {item.name} (process {item.id})")
    problems = _all(partial(runtime.remove, it, GRACE) for it in found)
    return [item.name for item in found], problems


def _seen(record: state.Record, endpoints: Iterable[Endpoint], paths: Paths) -> bool:
    """Whether the engine of the last `up` was among them, under whichever address.

    What Podman's service showed that envkit started for the run, every other API of that Podman shows.
    """
    if place(record.engine_url) == place(f"unix://{paths.home / 'podman.sock'}"):
        return any(endpoint.engine == "podman" for endpoint in endpoints)
    return place(record.engine_url) in {place(endpoint.url) for endpoint in endpoints}


def _clear(name: str, paths: Paths, endpoint: Endpoint, say: Callable[[str], None]) -> tuple[list[str], list[str]]:
    """Everything of the environment on one engine."""
    from envkit.clusters.kind import Kind

    runtime = Containers(endpoint)
    kind = Kind(endpoint, name, labels.resource_name(name), paths, runtime)
    try:
        found: list[Instance] = runtime.observe(name)
        networks = Networks(runtime.api)
        nodes = [node.name for node in kind.nodes.all()]
        tasks: list[Callable[[], object]] = [partial(runtime.remove, it) for it in found]
        tasks.append(kind.delete)  # also without nodes: a kind that outlived its envkit may be about to make one
        for item in (*(it.name for it in found), *nodes):
            say(f"removing {item} ({endpoint.engine})")
        problems = _all(tasks)
        gone = [it.name for it in found] + list(nodes)
        if not problems:
            gone += networks.remove_all(name)
        return gone, problems
    except EngineError as error:
        return [], [f"{endpoint.engine}: {error.message}"]
    finally:
        runtime.api.close()


def end_processes(name: str) -> list[str]:
    """End helpers (kind, a host one-shot) that an earlier run left behind, found by the marker in their environment."""
    import psutil

    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for marked in marked_processes(name):
        if marked.pid not in spared:
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(marked.pid))
    for process in found:
        _quietly(process.terminate)
    _, alive = psutil.wait_procs(found, timeout=KILL_SECONDS)
    for process in alive:
        _quietly(process.kill)
    psutil.wait_procs(alive, timeout=KILL_SECONDS)
    return [f"process {process.pid}" for process in found]


def _quietly(end: Callable[[], None]) -> None:
    import psutil

    try:
        end()
    except psutil.NoSuchProcess:
        return
    except psutil.Error as error:
        raise EnvkitError(f"a process of this environment could not be ended: {error}") from error
