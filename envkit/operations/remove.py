"""`down`: find the environment's resources by label, on every engine that answers, and remove only those."""

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

from envkit.base.errors import EngineError, EnvironmentFailed, EnvkitError, HolderError
from envkit.base.owner import TAKE_IT, Claim, Owner, Relation
from envkit.base.paths import Paths
from envkit.base.registry import runs_processes
from envkit.drivers.clusters.base import every_kind
from envkit.drivers.runtimes.base import runtime_kinds
from envkit.drivers.runtimes.marked import Marked, marked_processes
from envkit.drivers.runtimes.sites import Engines, Search, Site
from envkit.inventory import state

KILL_SECONDS = 5.0
"""Seconds that a helper process of an earlier run has to end after SIGTERM, and again after SIGKILL."""


def all_tasks(tasks: Iterable[Callable[[], object]]) -> list[BaseException]:
    """Run all tasks in parallel, wait for each, and return the exceptions that they raised."""
    with ThreadPoolExecutor(8, thread_name_prefix="remove") as pool:
        futures = [pool.submit(task) for task in tasks]
        errors = [future.exception() for future in futures]
    return [error for error in errors if error is not None]


def said(error: BaseException) -> str:
    """Return the text of an error, for a list of several errors."""
    return getattr(error, "message", repr(error))


def claim_of_lost_checkout(claim: Claim, held: Owner | None) -> Claim:
    """Return the claim. If the recorded owner's checkout was deleted, the returned claim names that checkout.

    The user can then remove an environment whose checkout was deleted. If the owner was in another mount namespace, the
    claim stays as it is, because the folder can exist there.
    """
    if held is None or claim.on(held).whose is not Relation.CHECKOUT:
        return claim
    same_view = held.mount in ("", claim.owner.mount)
    gone = held.checkout and same_view and not Path(held.checkout).is_dir()
    return replace(claim, owner=replace(claim.owner, checkout=held.checkout)) if gone else claim


def held_by(paths: Paths) -> Owner | None:
    """Return the owner that the environment's files name, or None if they do not name an owner."""
    record, begun = state.read(paths), state.read_begun(paths)
    if begun and begun.owner.known:
        return begun.owner
    return record.held_by if record else None


def down(
    name: str, paths: Paths, engine: str, environ: Mapping[str, str], say: Callable[[str], None], claim: Claim
) -> list[str]:  # fmt: skip
    """Remove everything with this environment's label that the claim covers, and return the names of what was removed.

    A second call removes nothing and succeeds. Resources of other owners stay. Raises `EnvironmentFailed` with what
    could not be removed, or `HolderError` if all of that belongs to other owners.
    """
    held = held_by(paths)
    claim = claim_of_lost_checkout(claim, held)
    if held:
        claim.check(held, f"environment {name} of this machine")
    known = known_engines(paths)
    kinds, search = runtime_kinds(), Search(environ, name, engine, known)
    with ThreadPoolExecutor(len(kinds), thread_name_prefix="sites") as pool:
        asked = [pool.submit(kind.sites, search) for kind in kinds]
        removed, problems, answering = list[str](), list[BaseException](), list[Site]()
        silent: dict[str, str] = {}
        for answer in asked:
            sites = answer.result()
            silent |= sites.silent
            for site in sites.found:
                gone, wrong = _clear(site, name, paths, say, claim)
                removed += gone
                problems += wrong
            answering += sites.found
            if sites.found and not any(site.address for site in sites.found):
                # Processes end after the services, which get more time to end, and before the engines are searched
                # for nodes, because kind may be about to create one.
                ended, left = end_processes(name, claim)
                removed += ended
                problems += left
    problems += _silent(known or (), answering, silent, paths)
    if all(isinstance(problem, HolderError) and not problem.same_home for problem in problems):
        gone, wrong = _remove_folders(paths, answering, claim)
        removed += gone
        problems += wrong
    if problems:
        raise _left(problems)
    return removed


def _left(problems: Sequence[BaseException]) -> EnvkitError:
    """Return one error that names everything that was not removed."""
    lines = "".join(f"\n  - {line}" for line in dict.fromkeys(map(said, problems)))
    if all(isinstance(problem, HolderError) for problem in problems):
        return HolderError(f"resources of other owners were left:{lines}", hint=TAKE_IT)
    return EnvironmentFailed(
        f"not everything could be removed:{lines}",
        hint="start that engine, then run `down` again; it finds everything by label",
    )


def known_engines(paths: Paths) -> Engines | None:
    """Return the engines that the environment's files name, or None if the files do not show where it ran.

    The record has the engine of the last `up` that succeeded, and `paths.begun` the engine of the last `up` that began.
    """
    record, begun = state.read(paths), state.read_begun(paths)
    if (record is None or (not runs_processes(record.lane) and not record.engine)) and begun is None:
        return None
    both = [(it.engine, it.engine_url) for it in (record, begun) if it and it.engine_url]
    return tuple(dict.fromkeys(both))


def _silent(
    known: Engines, sites: Sequence[Site], silent: Mapping[str, str], paths: Paths
) -> list[BaseException]:  # fmt: skip
    """Return an error for each engine on which parts of the environment may exist and which does not answer."""
    return [
        EngineError(
            f"{engine} at {url}, where the environment was brought up: "
            f"{silent.get(url, 'it is not among the engines that answer')}"
        )
        for engine, url in known
        if not any(site.is_at(url, paths.home) for site in sites)
    ]


def on_processes_alone(paths: Paths) -> bool:
    """Return whether the environment's files show that it uses no engine. Without files the answer is False."""
    return known_engines(paths) == ()


def _clear(
    site: Site, name: str, paths: Paths, say: Callable[[str], None], claim: Claim
) -> tuple[list[str], list[BaseException]]:  # fmt: skip
    """Remove all parts of the environment on one engine, or all its processes; return their names, and the errors."""
    gone: list[str] = []
    try:
        with site.open(paths, claim) as place:
            found = place.runtime.observe(name)
            ours = [it for it in found if place.runtime.whose(it).ours]
            clusters = [
                left for kind in every_kind() if kind.remains and (left := kind.remains(name, paths, place.runtime))
            ]
            nodes = [node for left in clusters for node in left.names()]
            for text in (*map(site.describe, ours), *(f"{node} ({site.where})" for node in nodes)):
                say(f"removing {text}")
            tasks: list[Callable[[], object]] = [partial(place.runtime.remove, it, site.grace) for it in found]
            problems = all_tasks([*tasks, *(left.delete for left in clusters)])
            gone = [it.name for it in ours] + nodes
            return gone + ([] if problems else place.tidy(name)), problems
    except EngineError as error:
        return [], [EngineError(f"{site.where}: {error.message}")]
    except HolderError as error:
        return gone, [error]


def is_own_folder(folder: Path) -> bool:
    """Return whether the path is a folder of this user, and not a link."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _remove_folders(paths: Paths, sites: Iterable[Site], claim: Claim) -> tuple[list[str], list[BaseException]]:
    """Remove the environment's folders; return their paths, and the errors.

    A folder or link that another user made in their place stays.
    """
    removed: list[str] = []
    problems: list[BaseException] = []
    for folder in (paths.services, paths.folder):
        if not os.path.lexists(folder):
            continue
        if not is_own_folder(folder):
            problems.append(HolderError(f"{folder} is not a folder of this user's: somebody else made it"))
        elif folder == paths.services and _others_in(paths, sites, claim):
            continue  # an earlier error names these services
        else:
            shutil.rmtree(folder)
            removed.append(str(folder))
    return removed, problems


def _others_in(paths: Paths, sites: Iterable[Site], claim: Claim) -> bool:
    """Return whether a service of another state directory or checkout has its folder in `paths.services`."""
    for site in sites:
        if site.address:
            continue
        with site.open(paths, claim) as place:
            if any(not place.runtime.whose(it).ours for it in place.runtime.observe(paths.name)):
                return True
    return False


def end_processes(name: str, claim: Claim) -> tuple[list[str], list[BaseException]]:
    """End helper processes (kind, a one-shot on the host) that an earlier run left behind.

    The marker in their environment identifies them. Returns the ended processes, and an error for each process of
    another owner.
    """
    import psutil

    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    marked = [it for it in marked_processes(name) if it.pid not in spared]
    found, left = [], []
    for one in marked:
        if claim.on(one.owner, process=True).ours:
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(one.pid))
        elif not one.service:  # `_clear` reports services
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
