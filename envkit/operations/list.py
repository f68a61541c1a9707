"""`list`: find every environment of this machine by the labels on engines, the markers of processes, and files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from envkit.base import labels
from envkit.base.errors import EngineError
from envkit.base.owner import UNKNOWN, Owner, machine, of_data
from envkit.base.paths import Paths
from envkit.base.ports import accepts
from envkit.config.names import SHARED_FOLDERS
from envkit.drivers.clusters.base import every_kind
from envkit.drivers.runtimes.base import runtime_kinds
from envkit.drivers.runtimes.sites import Search, Site, Sites, Trace
from envkit.inventory import state as records

State = Literal["busy", "up", "paused", "broken", "unfinished", "gone"]
"""The state of an environment.

busy: an envkit process is changing it. broken: it was up, but one of its ports does not answer. unfinished: parts of it
exist, but no record (after a failed `up --keep`, or after an incomplete removal). gone: only files are left.
"""


@dataclass(frozen=True)
class Found:
    """One environment: its traces (the parts that were found), its record if this user can read it, and its state."""

    name: str
    state: State
    traces: tuple[Trace, ...] = ()
    record: records.Record | None = None
    homes: tuple[str, ...] = ()
    unseen: str = ""
    """The reason why the environment's engine could not be searched, or an empty string."""
    running: str = ""
    """The `run` that uses it, or an empty string."""

    @property
    def roots(self) -> tuple[str, ...]:
        """The checkouts that own the environment, according to the labels and the record."""
        named = {trace.owner.checkout for trace in self.traces} | ({self.record.root} if self.record else set())
        return tuple(sorted(root for root in named if root))

    @property
    def owner(self) -> Owner | None:
        """The owner that the traces and the record name, or None if they name several owners."""
        said = [trace.owner for trace in self.traces] + ([self.record.held_by] if self.record else [])
        users, marks = {it.user for it in said if it.user}, {it.mark for it in said if it.mark}
        checkouts = {it.checkout for it in said if it.checkout is not None}
        views = {(it.mount, it.pids) for it in said if it.mount}
        if max(map(len, (users, marks, checkouts)), default=0) > 1 or len({mount for mount, _ in views}) > 1:
            return None
        machine, _, home = next(iter(marks), "").partition(":")
        mount = next((mount for mount, _ in views), "")
        return Owner(next(iter(users), ""), machine, home, next(iter(checkouts), None), mount)

    @property
    def things(self) -> tuple[Trace, ...]:
        """The traces that are not files."""
        return tuple(trace for trace in self.traces if trace.kind != "files")

    @property
    def where(self) -> tuple[str, ...]:
        """The engines on which parts of the environment exist; `processes` stands for plain processes."""
        return tuple(sorted({trace.where for trace in self.things}))

    @property
    def began(self) -> float:
        """The time at which the oldest part was started, in seconds since 1970; 0 if no part has a time."""
        return min((trace.began for trace in self.things if trace.began), default=0.0)

    @property
    def job(self) -> str:
        """The CI job for which `up` made the environment, or an empty string."""
        return self.record.job if self.record else next((trace.job for trace in self.traces if trace.job), "")

    @property
    def expires(self) -> float:
        """The time at which the environment expires, in seconds since 1970; 0 means never.

        The record has priority over labels, because it includes later calls of `up`.
        """
        if self.record:
            return self.record.expires
        return max((trace.expires for trace in self.traces), default=0.0)


@dataclass(frozen=True)
class Machine:
    """All environments of this machine, sorted by name, and for each engine that does not answer the reason."""

    environments: tuple[Found, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)


def find_environments(home: Path, environ: Mapping[str, str]) -> Machine:
    """Return the environments that exist on engines that answer, as processes, or as files. Changes nothing."""
    search = Search(environ)
    with ThreadPoolExecutor(8, thread_name_prefix="survey") as pool:
        sites, silent = _sites(pool.map(lambda kind: kind.sites(search), runtime_kinds()))
        marks = [kind.node_label for kind in every_kind() if kind.node_label]
        asked = [(site, pool.submit(_traces, site, marks)) for site in sites]
        traces = [*in_files(home)]
        for site, answer in asked:
            try:
                traces += answer.result()
            except EngineError as error:
                silent[site.address] = error.message
    by_name: dict[str, list[Trace]] = {}
    for trace in traces:
        by_name.setdefault(trace.environment, []).append(trace)
    seen = [site for site in sites if site.address not in silent]
    found = [verdict_of(name, its, home, seen, silent) for name, its in sorted(by_name.items())]
    return Machine(tuple(found), silent)


def _traces(site: Site, marks: Sequence[str]) -> list[Trace]:
    return list(site.traces(marks))


def _sites(found: Iterable[Sites]) -> tuple[list[Site], dict[str, str]]:
    """Return the sites that answer, and for each address that does not answer the reason."""
    sites, silent = list[Site](), dict[str, str]()
    for some in found:
        sites += some.found
        silent |= some.silent
    return sites, silent


def verdict_of(
    name: str, traces: Iterable[Trace], home: Path, sites: Iterable[Site], silent: Mapping[str, str]
) -> Found:
    """Return the environment `name`, to which all these traces belong.

    The record is read from the state directory that the traces name, or from `home` if they name none.
    """
    its = tuple(traces)
    homes = tuple(sorted({trace.owner.mark for trace in its if trace.owner.mark})) or (labels.home_mark(home),)
    places = [Paths(folder, name) for mark in homes if (folder := labels.home_here(mark))]
    read = next(((paths.home, read) for paths in places if (read := records.read(paths))), None)
    where, record = read or (home, None)
    busy = any(is_locked(paths) for paths in places)
    users = [user for paths in places if (user := run_of(paths))]
    unseen = _unseen(record, where, sites, silent)
    return Found(name, _state(its, record, busy, unseen), its, record, homes, unseen, users[0] if users else "")


def _state(traces: tuple[Trace, ...], record: records.Record | None, busy: bool, unseen: str) -> State:
    things = [trace for trace in traces if trace.kind != "files"]
    if busy:
        return "busy"
    if not things and not unseen:
        return "gone"
    if any(trace.state == "paused" for trace in things):
        return "paused"
    if record is None:
        return "unfinished"
    return "up" if all(accepts(port) for port in record.ports.values()) else "broken"


def _unseen(record: records.Record | None, home: Path, sites: Iterable[Site], silent: Mapping[str, str]) -> str:
    """Return why the engine in the record was not searched; "" if it was searched, or if the record has no engine."""
    if record is None or not record.engine_url or any(site.is_at(record.engine_url, home) for site in sites):
        return ""
    return silent.get(record.engine_url, "it does not answer")


# Where traces come from


def in_files(home: Path) -> Iterator[Trace]:
    """Yield each environment's folder in the state directory, and each folder of services that is elsewhere.

    Services that root starts as processes have their folders outside of the state directory.
    """
    with suppress(OSError):
        for folder in home.iterdir():
            if folder.is_dir() and not folder.name.startswith(".") and folder.name not in SHARED_FOLDERS:
                yield Trace(folder.name, "files", str(folder), "files", owner=_written(home, folder))
    beside = Paths(home, "x").services
    if home in beside.parents:
        return
    for folder in beside.parent.glob("envkit-*"):
        with suppress(OSError):
            if folder.is_dir() and folder.lstat().st_uid == os.getuid():
                yield Trace(folder.name.removeprefix("envkit-"), "files", str(folder), "files", owner=_beside(folder))


def _written(home: Path, folder: Path) -> Owner:
    """Return the owner that the environment's folder in the state directory names."""
    begun = records.read_begun(Paths(home, folder.name))
    return begun.owner if begun else Owner("", machine(), str(home))


def _beside(services: Path) -> Owner:
    """Return the owner that the `instance.json` of one of the services names."""
    import json

    for written in services.glob("*/instance.json"):
        with suppress(OSError, ValueError, AttributeError, TypeError):
            raw = json.loads(written.read_text())
            return of_data(raw["owner"]) if "owner" in raw else Owner(checkout=str(raw.get("root", "")))
    return UNKNOWN


# Who uses an environment


def is_locked(paths: Paths) -> bool:
    """Return whether an envkit process is changing the environment. If this user cannot open its lock, return True.

    This check takes a shared lock. Several checks at the same time therefore do not report each other as busy.
    """
    import fcntl

    try:
        with paths.lock.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def run_of(paths: Paths) -> str:
    """Return the `run` that uses the environment now, as text with its pid, or "" if there is none."""
    from envkit.watch.folder import all_of

    for run in all_of(paths):
        wrapper = next(iter(run.stamps()), None)
        if wrapper and not wrapper.gone and "ended" not in run.read_facts():
            return f"run (pid {wrapper.pid})"
    return ""
