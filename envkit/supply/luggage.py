"""Programs of the host that travel in an archive: kind, and what the embedded lane runs."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit.clusters.kind_errors import version_of
from envkit.clusters.node_image import loaded_program, program
from envkit.commands import run
from envkit.errors import EnvkitError
from envkit.supply.archive import Archive, Writer, packed
from envkit.supply.binaries import Host

if TYPE_CHECKING:
    from envkit.session import Session

KIND = "programs/kind.tar"

Report = Callable[[str], None]


def pack(session: Session, archive: Writer, report: Report) -> tuple[list[dict[str, Any]], list[str]]:
    """Put the programs in; what the manifest says of them, and what could not be put in."""
    if session.environment.cluster.type == "kind":
        report("packing kind")
        return _pack_kind(session, archive)
    return [], []


def _pack_kind(session: Session, archive: Writer) -> tuple[list[dict[str, Any]], list[str]]:
    path = shutil.which(program(session.environ, session.cache))
    if not path:
        return [], ["kind is not on PATH here, and not in the archive: the other machine must have it"]
    try:
        version = version_of(run([path, "version"], seconds=20.0).output)
    except EnvkitError:
        version = None
    archive.add(KIND, packed([("kind", Path(path).resolve())]))
    said = ".".join(map(str, version)) if version else ""
    return [{"name": "kind", "version": said, "member": KIND, "size": archive.members[KIND]["size"]}], []


def unpack(session: Session, archive: Archive, report: Report) -> list[tuple[str, str]]:
    """Put the programs where envkit looks for them: name and what became of it. What is on PATH comes first there."""
    if archive.manifest["host"] != str(Host.this()):
        return []
    done = []
    for row in archive.manifest["programs"]:
        report(f"unpacking {row['name']}")
        done.append((f"{row['name']} {row['version']}".strip(), _unpack_kind(session, archive, row)))
    return done


def _unpack_kind(session: Session, archive: Archive, row: dict[str, Any]) -> str:
    place = loaded_program(session.cache)
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.{os.getpid()}.new")
    try:
        with archive.open(row["member"]) as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for member in tar:
                opened = tar.extractfile(member)
                if opened:
                    with beside.open("wb") as out:
                        shutil.copyfileobj(opened, out)
        beside.chmod(0o755)
        if place.exists() and place.read_bytes() == beside.read_bytes():
            return "kept"
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)
    return "loaded"
