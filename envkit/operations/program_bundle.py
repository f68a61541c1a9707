"""Pack programs of this host into an archive, and unpack them: kind, and the programs of the embedded lane."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit.base.commands import run
from envkit.base.errors import EnvironmentFailed, EnvkitError
from envkit.base.owned import own_folder
from envkit.drivers.clusters.kind_errors import version_of
from envkit.drivers.clusters.node_image import loaded_program, program
from envkit.drivers.supply.archive import Archive, Writer, packed
from envkit.drivers.supply.binaries import Host
from envkit.drivers.supply.binaries.models import Candidate
from envkit.drivers.supply.binaries.store import MANIFEST, SCHEMA, Store, binaries_home
from envkit.drivers.supply.sealed import contents, digest, is_intact, open_to_all, record

if TYPE_CHECKING:
    from envkit.base.waiting import Cancel
    from envkit.drivers.supply.base import HasPrograms
    from envkit.drivers.supply.programs import Program

Report = Callable[[str], None]
Row = dict[str, Any]

ALONE = ("etcd", "kubernetes")
"""Programs that need no other files. envkit can therefore pack them from any folder."""


@dataclass(frozen=True)
class Home:
    """The cache folder of programs, and the environment variables, which can name another folder."""

    cache: Path
    environ: Mapping[str, str]

    @property
    def binaries(self) -> Path:
        """The folder of the embedded lane's programs."""
        return binaries_home(self.cache, self.environ, os.geteuid())


def pack_kind(home: Home, archive: Writer) -> tuple[list[Row], list[str]]:
    """Add kind to the archive; return its rows for the manifest, and a note if kind is not on PATH."""
    path = shutil.which(program(home.environ, home.cache))
    if not path:
        return [], ["kind is not on PATH here, and not in the archive: the other machine must have it"]
    try:
        version = version_of(run([path, "version"], seconds=20.0).output)
    except EnvkitError:
        version = None
    said = ".".join(map(str, version)) if version else ""
    return [_put(archive, "kind", said, "bin", "kind", [("kind", Path(path).resolve())])], []


def pack_programs(
    home: Home, programs: HasPrograms, archive: Writer, report: Report, cancel: Cancel
) -> tuple[list[Row], list[str]]:  # fmt: skip
    """Add the services' programs to the archive; return their rows for the manifest, and notes on what is left out."""
    rows: list[Row] = []
    notes: list[str] = []
    used = {service.process.reference for service in programs.services.values() if service.process}
    for reference in sorted(used):
        name = reference.partition(":")[2]
        report(f"packing {name}")
        if name == "datastorage":
            rows.append(_pack_site(home, archive, report, cancel))
            continue
        found = programs.found(reference)
        store = _store(home, name)
        entry = _entry_of(store, found)
        if entry:
            rows.append(_put(archive, name, found.version, "binaries", entry.name, _tree(entry)))
        elif name in ALONE:
            with _as_entry(found) as files:
                key = store.entry(f"saved-{found.version}").name
                rows.append(_put(archive, name, found.version, "binaries", key, files))
        else:
            notes.append(f"{name} is not in the archive: it is from {found.source}; the other machine must have it too")
    return rows, notes


def _store(home: Home, name: str) -> Store:
    return Store(home.binaries, name, Host.this())


def _put(archive: Writer, name: str, version: str, room: str, entry: str, files: list[tuple[str, Path]]) -> Row:
    """Add files to the archive as one tar file; return its row for the manifest.

    `room` (a part of the cache) and `entry` (a folder in it) tell `unpack` where to put the files.
    """
    member = f"programs/{name}.tar"
    archive.add(member, packed(files))
    size = archive.members[member]["size"]
    return {"name": name, "version": version, "member": member, "room": room, "entry": entry, "size": size}


def _pack_site(home: Home, archive: Writer, report: Report, cancel: Cancel) -> Row:
    from envkit.drivers.supply.wheels import fetch_site_here, site_here

    fetch_site_here(home.cache, report, cancel)
    site = site_here(home.cache)
    return _put(archive, "datastorage", "", "sites", site.name, _tree(site))


def _entry_of(store: Store, found: Program) -> Path | None:
    """Return the one folder of envkit's cache that contains all files of `found`, or None if no folder does."""
    folders = {store.folder / path.relative_to(store.folder).parts[0] for path in found.paths.values()
               if path.is_relative_to(store.folder)}  # fmt: skip
    whole = len(folders) == 1 and all(path.is_relative_to(store.folder) for path in found.paths.values())
    return folders.pop() if whole else None


@contextmanager
def _as_entry(found: Program) -> Iterator[list[tuple[str, Path]]]:
    """Yield the files of a new folder for the cache: for each file, its name in that folder and its present path."""
    programs = {name: f"bin/{name}" for name in found.paths}
    files = {programs[name]: digest(path.resolve()) for name, path in found.paths.items()}
    manifest = {"schema": SCHEMA, "origin": found.source, "version": found.version, "programs": programs,
                "libraries": [], "files": files}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MANIFEST
        path.write_text(json.dumps(manifest, indent=1))
        yield [(MANIFEST, path), *((programs[name], place.resolve()) for name, place in found.paths.items())]


def _tree(folder: Path) -> list[tuple[str, Path]]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink())
    return [(path.relative_to(folder).as_posix(), path) for path in files]


def unpack(home: Home, archive: Archive, report: Report) -> list[tuple[str, str]]:
    """Unpack the archive's programs into the cache; return the name and result of each.

    A program on PATH still has priority over the cache. If the archive is for another platform, nothing is unpacked.
    """
    if archive.manifest["host"] != str(Host.this()):
        return []
    done = []
    for row in archive.manifest["programs"]:
        report(f"unpacking {row['name']}")
        done.append((f"{row['name']} {row['version']}".strip(), _unpacked(home, archive, row)))
    return done


def _place(home: Home, row: Row) -> Path:
    if any(Path(row[key]).name != row[key] for key in ("name", "entry")):
        raise EnvironmentFailed(f"the archive names a place outside of the cache: {row['entry']}")
    if row["room"] == "binaries":
        return home.binaries / str(row["name"]) / str(row["entry"])
    if row["room"] == "sites":
        return home.cache / "sites" / str(row["entry"])
    return loaded_program(home.cache).parent


def _unpacked(home: Home, archive: Archive, row: Row) -> str:
    """Unpack one program into a new folder and rename the folder; return `loaded`, or `kept` if it was present."""
    place = _place(home, row)
    if _is_whole(home, row, place):
        return "kept"
    own_folder(place.parent)
    if row["room"] == "binaries":
        own_folder(place.parent.parent)
    beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".new", dir=place.parent))
    try:
        with archive.open(row["member"]) as file, tarfile.open(fileobj=file, mode="r|") as tar:
            tar.extractall(beside, filter="data")
        open_to_all(beside)
        if row["room"] == "bin" and is_intact(place) and contents(place) == contents(beside):
            return "kept"
        shutil.rmtree(place, ignore_errors=True)
        beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    if row["room"] != "binaries":
        record(place)
    return "loaded"


def _is_whole(home: Home, row: Row, place: Path) -> bool:
    if row["room"] == "binaries":
        return isinstance(_store(home, str(row["name"])).read(place), Candidate)
    return row["room"] == "sites" and is_intact(place)
