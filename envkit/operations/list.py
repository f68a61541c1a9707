"""`list`: find every environment of this machine, by labels on engines, markers of processes, and files."""

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
"""The state of an environment.

busy: an envkit works on it. broken: it was up, and a port of it does not answer. unfinished: parts without a record (a
failed `up` with `--keep`, or remains). gone: only files are left.
"""


@dataclass(frozen=True)
class Trace:
    """One part of an environment (a container, a process, a folder ...), with the owner that its labels name."""

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
    """One environment: its traces, its record if this user can read it, and the state that follows from both."""

    name: str
    state: State
    traces: tuple[Trace, ...] = ()
    record: records.Record | None = None
    homes: tuple[str, ...] = ()
    unseen: str = ""
    """The reason why its engine could not be asked, or an empty string."""
    running: str = ""
    """The `run` that uses it, or an empty string."""

    @property
    def roots(self) -> tuple[str, ...]:
        """The checkouts that own it, according to labels and to the record."""
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
        """The engines that hold a part of it; `processes` stands for plain processes."""
        return tuple(sorted({trace.where for trace in self.things}))

    @property
    def began(self) -> float:
        """When its oldest part was started, in seconds since 1970; 0 if no part has a time."""
        return min((trace.began for trace in self.things if trace.began), default=0.0)

    @property
    def job(self) -> str:
        """The CI job for which `up` made it, or an empty string."""
        return self.record.job if self.record else next((trace.job for trace in self.traces if trace.job), "")

    @property
    def expires(self) -> float:
        """When it expires, in seconds since 1970; 0 means never.

        The record has priority over labels, because it includes later calls of `up`.
        """
        if self.record:
            return self.record.expires
        return max((trace.expires for trace in self.traces), default=0.0)


@dataclass(frozen=True)
class Machine:
    """All environments of this machine, sorted by name, and the reason why each silent engine does not answer."""

    environments: tuple[Found, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)


def find_environments(home: Path, environ: Mapping[str, str]) -> Machine:
    """Return the environments of every engine that answers, of all processes and of all files. Changes nothing."""
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
    """Return the environment that the traces of one name belong to.

    The record is read from the state directory that the traces name, or from `home` if they name none.
    """
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
    """Return why the engine that the record names was not asked, or "" if it was asked or the record names none."""
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
    """Return containers and networks with envkit's label, and kind's nodes in such networks. Raises `EngineError`."""
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
    """Return the session leaders with the marker in their environment, if this user may read that environment."""
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
    """Return the environments' folders in the state directory, and the folders of services if they are elsewhere.

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
    """Return the owner that the `instance.json` of one of its processes names."""
    import json

    for written in services.glob("*/instance.json"):
        with suppress(OSError, ValueError, AttributeError, TypeError):
            raw = json.loads(written.read_text())
            return of_data(raw["owner"]) if "owner" in raw else Owner(checkout=str(raw.get("root", "")))
    return UNKNOWN


# Who uses it


def is_locked(paths: Paths) -> bool:
    """Return whether an envkit works on it at this moment. If this user cannot open the lock, return True.

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
