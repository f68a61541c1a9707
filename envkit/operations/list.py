"""`list`: every environment of this machine, from what carries a label or a marker and from what is written down."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from envkit.base import labels
from envkit.base.errors import EngineError
from envkit.base.owner import UNKNOWN, Owner, machine, namespace, of_data
from envkit.base.paths import Paths
from envkit.base.ports import accepts
from envkit.config.names import SHARED_FOLDERS
from envkit.drivers.engine.discovery import find_all, place
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.runtimes.marked import SERVICE, carrying, owner_of
from envkit.inventory import state as records

State = Literal["busy", "up", "paused", "broken", "unfinished", "gone"]
"""busy: an envkit works on it; broken: it was up, and something of it does not answer; unfinished: things without a
record (a failure that was kept, or remains); gone: a record, and nothing of it."""


@dataclass(frozen=True)
class Trace:
    """One thing of an environment, and what it says about its owner."""

    environment: str
    kind: Literal["container", "node", "network", "process", "files"]
    name: str
    where: str
    state: str = ""
    owner: Owner = UNKNOWN
    began: float = 0.0
    expires: float = 0.0
    job: str = ""


@dataclass(frozen=True)
class Found:
    """One environment: its traces, its record where that can be read, and what follows from both."""

    name: str
    state: State
    traces: tuple[Trace, ...] = ()
    record: records.Record | None = None
    homes: tuple[str, ...] = ()
    unseen: str = ""
    """Why what it runs on could not be asked, empty when it could."""
    running: str = ""
    """The `run` that uses it, empty when there is none."""

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders that hold it, by label and by record."""
        named = {trace.owner.checkout for trace in self.traces} | ({self.record.root} if self.record else set())
        return tuple(sorted(root for root in named if root))

    @property
    def owner(self) -> Owner | None:
        """Whose all of it is, as far as it says; None where the traces name several owners."""
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
        """What is there beside files."""
        return tuple(trace for trace in self.traces if trace.kind != "files")

    @property
    def where(self) -> tuple[str, ...]:
        """The engines (or `processes`) that have something of it."""
        return tuple(sorted({trace.where for trace in self.things}))

    @property
    def began(self) -> float:
        """Seconds since 1970 of its oldest part, 0 when there is none."""
        return min((trace.began for trace in self.things if trace.began), default=0.0)

    @property
    def job(self) -> str:
        """The CI job that it was made for; empty for none."""
        return self.record.job if self.record else next((trace.job for trace in self.traces if trace.job), "")

    @property
    def expires(self) -> float:
        """When its time is over, seconds since 1970; 0 is never. The record knows of later calls of `up`."""
        if self.record:
            return self.record.expires
        return max((trace.expires for trace in self.traces), default=0.0)


@dataclass(frozen=True)
class Machine:
    """Everything that was found, by name; and the engines that are set up here but do not answer, with the reason."""

    environments: tuple[Found, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)


def find_environments(home: Path, environ: Mapping[str, str]) -> Machine:
    """Ask every engine that answers, look at every process and every file; changes nothing."""
    endpoints, silent = find_all("auto", environ)
    with ThreadPoolExecutor(4, thread_name_prefix="survey") as pool:
        asked = {endpoint: pool.submit(_all, on_engine, endpoint) for endpoint in endpoints}
        processes = pool.submit(_all, as_processes)
        traces = [*processes.result(), *in_files(home)]
        for endpoint, answer in asked.items():
            try:
                traces += answer.result()
            except EngineError as error:
                silent[endpoint.url] = error.message
    by_name: dict[str, list[Trace]] = {}
    for trace in traces:
        by_name.setdefault(trace.environment, []).append(trace)
    seen = [endpoint for endpoint in endpoints if endpoint.url not in silent]
    found = [verdict_of(name, its, home, seen, silent) for name, its in sorted(by_name.items())]
    return Machine(tuple(found), silent)


def _all(look: Callable[..., Iterator[Trace]], *where: Endpoint) -> list[Trace]:
    return list(look(*where))


def verdict_of(
    name: str, traces: Iterable[Trace], home: Path, engines: Iterable[Endpoint], silent: Mapping[str, str]
) -> Found:
    """What the traces of one name add up to. The record is read where the traces say it is, else in `home`."""
    its = tuple(traces)
    homes = tuple(sorted({trace.owner.mark for trace in its if trace.owner.mark})) or (labels.home_mark(home),)
    places = [Paths(folder, name) for mark in homes if (folder := labels.home_here(mark))]
    record = next((read for paths in places if (read := records.read(paths))), None)
    busy = any(is_locked(paths) for paths in places)
    users = [user for paths in places if (user := run_of(paths))]
    unseen = _unseen(record, engines, silent)
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


def _unseen(record: records.Record | None, engines: Iterable[Endpoint], silent: Mapping[str, str]) -> str:
    """Why the engine that the record names was not asked."""
    if record is None or not record.engine_url:
        return ""
    asked = list(engines)
    if place(record.engine_url) in {place(endpoint.url) for endpoint in asked}:
        return ""
    if record.engine_url.endswith("/podman.sock") and any(endpoint.engine == "podman" for endpoint in asked):
        return ""
    return silent.get(record.engine_url, "it does not answer")


# Where traces come from


def on_engine(endpoint: Endpoint) -> Iterator[Trace]:
    """Containers and networks with envkit's label, and kind's nodes in such a network. Raises `EngineError`."""
    from envkit.drivers.clusters.nodes import CLUSTER_LABEL
    from envkit.drivers.engine.sdk import connect, translated

    api = connect(endpoint)
    try:
        with translated("listing what is labelled"):
            networks = api.networks(filters={"label": labels.ENV})
            services = api.containers(all=True, filters={"label": labels.ENV})
            nodes = api.containers(all=True, filters={"label": CLUSTER_LABEL})
    finally:
        api.close()
    for row in networks:
        yield _network(row, endpoint)
    for row in services:
        yield _container(row, "container", row["Labels"][labels.ENV], endpoint)
    ours = {str(row["Name"]): str(row["Labels"][labels.ENV]) for row in networks}
    for row in nodes:
        for network in (row.get("NetworkSettings") or {}).get("Networks") or {}:
            if network in ours and row["Labels"][CLUSTER_LABEL] == labels.resource_name(ours[network]):
                yield _container(row, "node", ours[network], endpoint)


def _network(row: Mapping[str, Any], endpoint: Endpoint) -> Trace:
    marks = row.get("Labels") or {}
    ends = str(marks.get(labels.EXPIRES, ""))
    return Trace(
        marks[labels.ENV], "network", str(row["Name"]), endpoint.engine, "", labels.owner_of(marks),
        expires=float(ends) if ends.isdecimal() else 0.0, job=str(marks.get(labels.JOB, "")),
    )  # fmt: skip


def _container(
    row: Mapping[str, Any], kind: Literal["container", "node"], environment: str, endpoint: Endpoint
) -> Trace:
    marks = row.get("Labels") or {}
    names = row.get("Names") or [row["Id"][:12]]
    created = row.get("Created") or 0
    return Trace(
        environment, kind, str(names[0]).lstrip("/"), endpoint.engine, str(row.get("State", "")).lower(),
        labels.owner_of(marks), began=float(created) if isinstance(created, int | float) else 0.0,
    )  # fmt: skip


def as_processes() -> Iterator[Trace]:
    """The leaders of sessions that carry the marker, as far as this user may look into them."""
    import psutil

    for pid, environ in carrying(labels.MARKER):
        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            if not environ[labels.MARKER] or os.getsid(pid) != pid:
                continue
            owner = owner_of(pid, environ)
            there = machine() if owner.mount == namespace("mnt") else f"mount namespace {owner.mount}"
            paused = process.status() == psutil.STATUS_STOPPED
            what = f"{environ.get(SERVICE) or process.name()} (pid {pid})"
            yield Trace(
                environ[labels.MARKER], "process", what, "processes",
                "paused" if paused else "running", replace(owner, machine=there if owner.home else ""),
                began=process.create_time(),
            )  # fmt: skip


def in_files(home: Path) -> Iterator[Trace]:
    """Folders of the state directory, and those of root's processes, which are elsewhere."""
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
    """Who holds the environment, as its folder in a state directory of this machine says."""
    begun = records.read_begun(Paths(home, folder.name))
    return begun.owner if begun else Owner("", machine(), str(home))


def _beside(services: Path) -> Owner:
    """Who holds the environment, as written beside one of its processes."""
    import json

    for written in services.glob("*/instance.json"):
        with suppress(OSError, ValueError, AttributeError, TypeError):
            raw = json.loads(written.read_text())
            return of_data(raw["owner"]) if "owner" in raw else Owner(checkout=str(raw.get("root", "")))
    return UNKNOWN


# Who uses it


def is_locked(paths: Paths) -> bool:
    """Whether an envkit works on it at this moment. A lock that cannot be opened is somebody else's.

    Asked with a shared lock: any number look at once, and none takes another for one that works on it.
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
    """The `run` that uses the environment now, as its folder tells it; empty when there is none."""
    from envkit.watch.folder import all_of

    for run in all_of(paths):
        wrapper = next(iter(run.stamps()), None)
        if wrapper and not wrapper.gone and "ended" not in run.read_facts():
            return f"run (pid {wrapper.pid})"
    return ""
