"""`down`, and the way back of an `up` that failed: by label, on every engine that answers, and nothing else."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from envkit.base import labels
from envkit.base.errors import EngineError, EnvironmentFailed, EnvkitError, HolderError
from envkit.base.owner import TAKE_IT, Claim, Owner, Relation
from envkit.base.paths import Paths
from envkit.base.registry import runs_processes
from envkit.drivers.engine.discovery import find_all, holding, place
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes import limits
from envkit.drivers.runtimes.containers import Containers
from envkit.drivers.runtimes.marked import Marked, marked_processes
from envkit.drivers.runtimes.networks import Networks
from envkit.inventory import state
from envkit.planning.facts import Instance

GRACE = 3.0
"""Seconds for a service to end by itself: nothing of a test environment is worth a longer goodbye."""

KILL_SECONDS = 5.0
"""For a helper process of an earlier run to end after SIGTERM."""


def all_tasks(tasks: Iterable[Callable[[], object]]) -> list[BaseException]:
    """Run them side by side, every one to its end; what they raised."""
    with ThreadPoolExecutor(8, thread_name_prefix="remove") as pool:
        futures = [pool.submit(task) for task in tasks]
        errors = [future.exception() for future in futures]
    return [error for error in errors if error is not None]


def said(error: BaseException) -> str:
    """Return the text of an error that is reported beside others."""
    return getattr(error, "message", repr(error))


def claim_of_lost_checkout(claim: Claim, held: Owner | None) -> Claim:
    """The claim with the checkout of this state directory's own record, where that checkout is gone.

    A folder that is not seen proves nothing when it was meant in another mount namespace.
    """
    if held is None or claim.on(held).whose is not Relation.CHECKOUT:
        return claim
    same_view = held.mount in ("", claim.owner.mount)
    gone = held.checkout and same_view and not Path(held.checkout).is_dir()
    return replace(claim, owner=replace(claim.owner, checkout=held.checkout)) if gone else claim


def held_by(paths: Paths) -> Owner | None:
    """Who holds the environment, as this state directory's files say; None where they say nothing."""
    record, begun = state.read(paths), state.read_begun(paths)
    if begun and begun.owner.known:
        return begun.owner
    return record.held_by if record else None


def down(
    name: str, paths: Paths, engine: str, environ: Mapping[str, str], say: Callable[[str], None], claim: Claim
) -> list[str]:  # fmt: skip
    """Remove everything labelled as this environment that is ours; names of what went. Twice in a row is fine.

    What is not ours is left, and the rest goes all the same. Raises `EnvironmentFailed` listing what could not be
    removed, `HolderError` where all of that belongs to somebody else.
    """
    held = held_by(paths)
    claim = claim_of_lost_checkout(claim, held)
    if held:
        claim.check(held, f"environment {name} of this machine")
    known = known_engines(paths)
    with ThreadPoolExecutor(1, thread_name_prefix="engines") as pool:
        asked = pool.submit(_engines, name, known, engine, environ)
        removed, problems = _clear_processes(name, paths, say, claim)
        ended, left = end_processes(name, claim)
        removed += ended
        problems += left
        removed += [str(group) for group in limits.groups(name, claim.owner.key) if limits.remove(group)]
    endpoints, silent = asked.result()
    for endpoint in endpoints:
        gone, wrong = _clear(name, paths, endpoint, say, claim)
        removed += gone
        problems += wrong
    problems += _silent(known or (), endpoints, silent, paths)
    if all(isinstance(problem, HolderError) and not problem.same_home for problem in problems):
        gone, wrong = _remove_folders(paths, claim)
        removed += gone
        problems += wrong
    if problems:
        raise _left(problems)
    return removed


def _left(problems: Sequence[BaseException]) -> EnvkitError:
    """One error that names everything that is still there."""
    lines = "".join(f"\n  - {line}" for line in dict.fromkeys(map(said, problems)))
    if all(isinstance(problem, HolderError) for problem in problems):
        return HolderError(f"what is not ours was left:{lines}", hint=TAKE_IT)
    return EnvironmentFailed(
        f"not everything could be removed:{lines}",
        hint="start that engine, then run `down` again; it goes by labels and misses nothing",
    )


Engines = tuple[tuple[str, str], ...]
"""Name and address of engines."""


def known_engines(paths: Paths) -> Engines | None:
    """The engines that may have something of the environment, as its files say; None where they say nothing.

    The record tells of the last `up` that succeeded; what the one after it began on was written down before.
    """
    record, begun = state.read(paths), state.read_begun(paths)
    if (record is None or (not runs_processes(record.lane) and not record.engine)) and begun is None:
        return None
    both = [(it.engine, it.engine_url) for it in (record, begun) if it and it.engine_url]
    return tuple(dict.fromkeys(both))


def _silent(
    known: Engines, endpoints: Sequence[Endpoint], silent: Mapping[str, str], paths: Paths
) -> list[BaseException]:  # fmt: skip
    """An error for each engine that may have something of the environment and was not asked."""
    return [
        EngineError(
            f"{engine} at {url}, where the environment was brought up: "
            f"{silent.get(url, 'it is not among the engines that answer')}"
        )
        for engine, url in known
        if not _seen(url, endpoints, paths)
    ]


def _engines(
    name: str, known: Engines | None, engine: str, environ: Mapping[str, str]
) -> tuple[list[Endpoint], Mapping[str, str]]:  # fmt: skip
    """Engines to clear, and why others are silent. Where the files name none, a lost one may have known better."""
    if known is None or known:
        return find_all(engine, environ)
    return holding(f"{labels.ENV}={name}", environ), {}


def on_processes_alone(paths: Paths) -> bool:
    """Whether no engine has anything of it: so its last `up` wrote down. Without a record every engine is asked."""
    return known_engines(paths) == ()


def _clear_processes(
    name: str, paths: Paths, say: Callable[[str], None], claim: Claim
) -> tuple[list[str], list[BaseException]]:  # fmt: skip
    """Services that run as plain processes, whole trees of them."""
    from envkit.drivers.runtimes.processes import Processes, never

    runtime = Processes(paths.services, never, claim)
    found = runtime.observe(name)
    ours = [item for item in found if runtime.whose(item).ours]
    for item in ours:
        say(f"removing {item.name} (process {item.id})")
    problems = all_tasks(partial(runtime.remove, it, GRACE) for it in found)
    return [item.name for item in ours], problems


def _seen(url: str, endpoints: Iterable[Endpoint], paths: Paths) -> bool:
    """Whether the engine of the last `up` was among them, under whichever address.

    What Podman's service showed that envkit started for the run, every other API of that Podman shows.
    """
    if place(url) == place(f"unix://{paths.home / 'podman.sock'}"):
        return any(endpoint.engine == "podman" for endpoint in endpoints)
    return place(url) in {place(endpoint.url) for endpoint in endpoints}


def _clear(
    name: str, paths: Paths, endpoint: Endpoint, say: Callable[[str], None], claim: Claim
) -> tuple[list[str], list[BaseException]]:  # fmt: skip
    """Everything of the environment on one engine."""
    from envkit.drivers.clusters.kind import Kind

    runtime = Containers(endpoint, claim)
    kind = Kind(endpoint, name, labels.resource_name(name), paths, runtime)
    try:
        found: list[Instance] = runtime.observe(name)
        networks = Networks(runtime.api, claim)
        nodes = [node.name for node in kind.nodes.all()]
        tasks: list[Callable[[], object]] = [partial(runtime.remove, it) for it in found]
        tasks.append(kind.delete)  # also without nodes: a kind that outlived its envkit may be about to make one
        for item in (*(it.name for it in found if runtime.whose(it).ours), *nodes):
            say(f"removing {item} ({endpoint.engine})")
        problems = all_tasks(tasks)
        gone = [it.name for it in found] + list(nodes)
        if not problems:
            gone += networks.remove_all(name)
        return gone, problems
    except EngineError as error:
        return [], [EngineError(f"{endpoint.engine}: {error.message}")]
    except HolderError as error:
        return gone, [error]
    finally:
        runtime.api.close()


def is_own_folder(folder: Path) -> bool:
    """Whether it is a folder, no link to one, and this user's."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _remove_folders(paths: Paths, claim: Claim) -> tuple[list[str], list[BaseException]]:
    """The environment's files; a folder or a link that another user made in their place is left."""
    removed: list[str] = []
    problems: list[BaseException] = []
    for folder in (paths.services, paths.folder):
        if not os.path.lexists(folder):
            continue
        if not is_own_folder(folder):
            problems.append(HolderError(f"{folder} is not a folder of this user's: somebody else made it"))
        elif folder == paths.services and _others_in(paths, claim):
            continue  # they were named already
        else:
            shutil.rmtree(folder)
            removed.append(str(folder))
    return removed, problems


def _others_in(paths: Paths, claim: Claim) -> bool:
    """Whether a service of another state directory or checkout is in there."""
    from envkit.drivers.runtimes.processes import Processes, never

    runtime = Processes(paths.services, never, claim)
    return any(not runtime.whose(it).ours for it in runtime.observe(paths.name))


def end_processes(name: str, claim: Claim) -> tuple[list[str], list[BaseException]]:
    """End helpers (kind, a host one-shot) that an earlier run left behind, found by the marker in their environment.

    Returns what was ended, and an error for each that is not ours.
    """
    import psutil

    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    marked = [it for it in marked_processes(name) if it.pid not in spared]
    found, left = [], []
    for one in marked:
        if claim.on(one.owner, process=True).ours:
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(one.pid))
        elif not one.service:  # whoever looked for services has named those
            left.append(_stranger(one, claim))
    for process in found:
        _quietly(process.terminate)
    _, alive = psutil.wait_procs(found, timeout=KILL_SECONDS)
    for process in alive:
        _quietly(process.kill)
    psutil.wait_procs(alive, timeout=KILL_SECONDS)
    return [f"process {process.pid}" for process in found], [error for error in left if error]


def _stranger(marked: Marked, claim: Claim) -> HolderError | None:
    try:
        claim.check(marked.owner, str(marked), process=True)
    except HolderError as error:
        return error
    return None


def _quietly(end: Callable[[], None]) -> None:
    import psutil

    try:
        end()
    except psutil.NoSuchProcess:
        return
    except psutil.Error as error:
        raise EnvkitError(f"a process of this environment could not be ended: {error}") from error
