"""`images save` and `images load`: move everything that `up` needs, as one file, to a machine without network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from envkit.base.abilities import able
from envkit.base.caller import Caller
from envkit.base.control import Control
from envkit.base.errors import EngineError, EnvironmentFailed, EnvkitError, UsageError
from envkit.base.events import Kind, Stream
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.config.images import full_name, local_name, split_tag
from envkit.config.models import Environment
from envkit.drivers.clusters.base import NeedsProgram
from envkit.drivers.engine.exporting import exported, imported
from envkit.drivers.engine.sdk import translated
from envkit.drivers.runtimes.base import OnEngine
from envkit.drivers.supply.archive import IMAGES, Archive, Writer, written
from envkit.drivers.supply.base import HasPrograms
from envkit.drivers.supply.binaries import Host
from envkit.drivers.supply.images import LOCAL
from envkit.inventory.drivers import Drivers
from envkit.operations import program_bundle
from envkit.operations.images import Part, complete
from envkit.version import __version__

ENGINE_SECONDS = 1800
"""Longest silence of an engine, in seconds, while it packs or unpacks gigabytes."""


@dataclass(frozen=True)
class Saved:
    """The archive that was written: its path, size in bytes and manifest, and notes on what it does not contain."""

    path: Path
    size: int
    manifest: Mapping[str, Any]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Entry:
    """One image or program of an archive. `result` is `loaded`, `replaced`, or `kept` if it was present already."""

    name: str
    result: str


@dataclass(frozen=True)
class Loaded:
    """The result for each image and program of an archive, and notes on what was left out."""

    entries: Sequence[Entry]
    notes: Sequence[str] = field(default=())


def save(
    environment: Environment, paths: Paths, drivers: Drivers, control: Control, caller: Caller, path: Path
) -> Saved:
    """Pull, fetch or build what is missing, then write everything into one file.

    Raises `ImageUnavailable` with everything that is not available; then no file is written.
    """
    parts = complete(environment, paths, drivers, control)
    images = [part for part in parts if part.role != "program"]
    with _step(control.stream, "save") as report, written(path, report, control.cancel) as archive:
        entries = _save_images(drivers, images, archive) if images else []
        programs, notes = _save_programs(environment, drivers, control.cancel, caller, archive, report)
        manifest = {
            "envkit": __version__,
            "saved": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": environment.name,
            "lane": drivers.lane,
            "platform": f"linux/{drivers.arch}" if images else "",
            "host": str(Host.this()),
            "images": entries,
            "programs": programs,
        }
        archive.close(manifest)
    return Saved(path, path.stat().st_size, manifest, notes)


def _home(caller: Caller) -> program_bundle.Home:
    return program_bundle.Home(caller.cache, caller.environ)


def _save_programs(
    environment: Environment,
    drivers: Drivers,
    cancel: Cancel,
    caller: Caller,
    archive: Writer,
    report: Callable[[str], None],
) -> tuple[list[program_bundle.Row], list[str]]:
    if programs := able(drivers.supply, HasPrograms):
        return program_bundle.pack_programs(_home(caller), programs, archive, report, cancel)
    if environment.cluster.wanted and able(drivers.cluster, NeedsProgram) is not None:
        return program_bundle.pack_kind(_home(caller), archive)
    return [], []


def load(drivers: Drivers, control: Control, caller: Caller, path: Path) -> Loaded:
    """Load each image and program of the archive that is not present. If loading images fails, no new image stays.

    Raises `UsageError` if the archive is not for this machine, and `EnvironmentFailed` if it is damaged.
    """
    archive = Archive(path)
    try:
        notes = _refuse_foreign(drivers, archive)
        with _step(control.stream, "load") as report:
            archive.verify(report, control.cancel)
            images = _load_images(drivers, control.cancel, archive, report) if archive.manifest["images"] else []
            programs = program_bundle.unpack(_home(caller), archive, report)
    finally:
        archive.close()
    return Loaded([*images, *(Entry(*row) for row in programs)], notes)


@contextmanager
def _step(stream: Stream, name: str) -> Iterator[Any]:
    began, emit = time.monotonic(), stream.emit
    emit(Kind.PLANNED, name)
    emit(Kind.STARTED, name, "")
    try:
        yield stream.reporter(name)
    except EnvkitError as error:
        emit(Kind.FAILED, name, error.message, time.monotonic() - began)
        raise
    emit(Kind.DONE, name, "done", time.monotonic() - began)


def _engine(drivers: Drivers) -> OnEngine:
    """Return the engine. Call this only in a lane that has an engine."""
    engine = able(drivers.backend, OnEngine)
    assert engine is not None  # only an engine has images
    return engine


# Save


def _save_images(drivers: Drivers, parts: Sequence[Part], archive: Writer) -> list[dict[str, Any]]:
    api = _engine(drivers).connect(ENGINE_SECONDS)
    ids = {local_name(part.here): part for part in parts}
    had = drivers.supply.ids(list(ids))
    try:
        with translated("saving images"):
            for name, part in ids.items():
                if name not in had:  # configured by digest: an archive cannot hold such a name
                    repository, tag = split_tag(name)
                    api.tag(part.here, repository, tag.removeprefix(":"))
            archive.add(IMAGES, exported(api, list(ids)))
    finally:
        _forget(api, [name for name in ids if name not in had])
        api.close()
    return [
        {
            "reference": name,
            "id": part.id,
            "size": part.size,
            "used_by": list(part.used_by),
            "built": part.want is not None and bool(part.want.tag) and part.here == part.want.tag,
        }
        for name, part in ids.items()
    ]


def _forget(api: Any, names: Sequence[str]) -> None:
    from docker.errors import DockerException

    for name in names:
        with suppress(DockerException):
            api.remove_image(name, noprune=True)


# Load


def _refuse_foreign(drivers: Drivers, archive: Archive) -> list[str]:
    """Raise `UsageError` if the archive cannot be used on this machine; return notes on what is left out."""
    manifest, here = archive.manifest, str(Host.this())
    saved = f"{archive.path} was saved in lane {manifest['lane']}"
    if manifest["images"]:
        if able(drivers.backend, OnEngine) is None:
            raise UsageError(
                f"{saved} and holds images; lane {drivers.lane} has no engine", hint="use --lane containers"
            )
        runs = f"linux/{drivers.arch}"
        if manifest["platform"] != runs:
            raise UsageError(
                f"{saved} for {manifest['platform']}, and {drivers.engine} here runs {runs}",
                hint=f"save it on a machine whose engine runs {runs}",
            )
    foreign = manifest["programs"] and manifest["host"] != here
    if foreign and not manifest["images"]:
        raise UsageError(
            f"{saved} on {manifest['host']}, and this machine is {here}", hint=f"save it on a machine that is {here}"
        )
    names = ", ".join(row["name"] for row in manifest["programs"])
    return [f"left out: {names}, which are for {manifest['host']}; this machine is {here}"] if foreign else []


def _load_images(drivers: Drivers, cancel: Cancel, archive: Archive, report: Any) -> list[Entry]:
    rows = archive.manifest["images"]
    before = drivers.supply.ids([row["reference"] for row in rows])
    lacking = [row for row in rows if not _serves(row, before.get(row["reference"], ""))]
    if lacking:
        api = _engine(drivers).connect(ENGINE_SECONDS)
        short = [f"{LOCAL}{row['reference']}" for row in rows if full_name(row["reference"]) != row["reference"]]
        had = drivers.supply.ids(short)
        try:
            report(f"loading {len(lacking)} images into {drivers.engine}")
            size = archive.manifest["members"][IMAGES]["size"]
            imported(api, archive.open(IMAGES), size, report, cancel)
            for row in lacking:
                _named(drivers, api, row)
            _back(api, [row for row in rows if row not in lacking], before)  # loading moved these names too
        except BaseException:
            _back(api, lacking, before)
            raise
        finally:
            _forget(api, [name for name in short if name not in had])  # Podman's form of names without a registry
            api.close()
    loaded = {row["reference"] for row in lacking}
    return [Entry(row["reference"], _told(row["reference"], loaded, before)) for row in rows]


def _serves(row: Mapping[str, Any], identity: str) -> bool:
    """Return whether the present image (`identity` is its id) can be used in place of the archive's image.

    The name of an image that envkit built contains a hash of its inputs, so every image of that name can be used.
    """
    return identity == row["id"] or bool(identity and row["built"])


def _told(name: str, loaded: set[str], before: Mapping[str, str]) -> str:
    if name not in loaded:
        return "kept"
    return "replaced" if name in before else "loaded"


def _named(drivers: Drivers, api: Any, row: Mapping[str, Any]) -> None:
    """Tag a loaded image with its full name, because each engine shortens the names in archives in a different way.

    Raises `EngineError` if the engine does not have the image after that.
    """
    name = row["reference"]
    if drivers.supply.id_of(row["id"]):
        repository, tag = split_tag(full_name(name))
        with translated(f"naming {name}"):
            api.tag(row["id"], repository, tag.removeprefix(":") or "latest", force=True)
    if not drivers.supply.id_of(name):  # check by name: engines compute ids differently
        raise EngineError(f"{drivers.engine} loaded the archive, but has no image {name}", hint="is its disk full?")


def _back(api: Any, rows: Sequence[Mapping[str, Any]], before: Mapping[str, str]) -> None:
    """Undo the loading of these images: remove new ones, and give replaced ones their names back."""
    from docker.errors import DockerException

    for row in rows:
        name = row["reference"]
        with suppress(DockerException, EnvironmentFailed):
            if name in before:
                repository, tag = split_tag(name)
                api.tag(before[name], repository, tag.removeprefix(":") or "latest", force=True)
            else:
                api.remove_image(name)
