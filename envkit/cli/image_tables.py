"""Prints lists of images, pulls and archives, as tables or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envkit.cli.flags import Flags
from envkit.cli.show import Out
from envkit.cli.terminal import edge, table

if TYPE_CHECKING:
    from envkit.operations.images import Part, Result
    from envkit.operations.load import Brought
    from envkit.operations.offline import Loaded, Saved


def parts(found: Sequence[Part], flags: Flags, out: Out) -> None:
    """Print a row for each image, then how many are missing."""
    if flags.json:
        out(json.dumps({"images": [as_data(part) for part in found]}, indent=2) + "\n")
        return
    if not found:
        out("this environment uses no images\n")
        return
    heading = ("IMAGE", "USED BY", "PRESENT", "SIZE", "ID", "FROM")
    out(table([heading, *map(_row, found)], edge(flags.environ), headed=True))
    missing = sum(not part.here for part in found)
    out(f"\n{missing} of {len(found)} are missing\n" if missing else "\nall images are present\n")


def _row(part: Part) -> tuple[str, ...]:
    here = "yes" if part.here else "no"
    return (
        part.name, ", ".join(part.used_by), here, size(part.size) if part.size else "-",
        part.id.removeprefix("sha256:")[:12] or "-", part.origin,
    )  # fmt: skip


def as_data(part: Part) -> dict[str, Any]:
    """Return one image as JSON data; a missing image has neither id nor size."""
    return {
        "image": part.name,
        "role": part.role,
        "used_by": list(part.used_by),
        "here": bool(part.here),
        "id": part.id or None,
        "size": part.size or None,
        "from": part.origin,
        "candidates": list(part.names),
    }


def size(count: int) -> str:
    """Return a number of bytes in MiB, or in GiB from 1 GiB on."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def results(done: Sequence[Result], flags: Flags, out: Out) -> None:
    """Print the result of each image, and the reason of each failure."""
    if flags.json:
        rows = [
            {**as_data(one.part), "result": one.result, "said": one.said, "seconds": round(one.seconds, 3)}
            for one in done
        ]
        out(json.dumps({"images": rows}, indent=2) + "\n")
        return
    if not done:
        out("nothing to do\n")
        return
    lines = [(one.result, one.part.name, f"{one.seconds:.1f}s", ", ".join(one.part.used_by)) for one in done]
    out(table(lines, edge(flags.environ)))
    for one in done:
        if one.result in ("failed", "left"):
            out(f"\n{one.part.name}: {one.said}\n")


def saved(done: Saved, flags: Flags, out: Out) -> None:
    """Print the archive's content and path, and the command that loads it."""
    if flags.json:
        out(json.dumps({"file": str(done.path), "size": done.size, **done.manifest}, indent=2) + "\n")
        return
    images, programs = done.manifest["images"], done.manifest["programs"]
    out(table([("saved", *_entry(row)) for row in (*images, *programs)], edge(flags.environ)))
    out("".join(f"note: {note}\n" for note in done.notes))
    out(f"\n{done.path}: {size(done.size)}, for {done.manifest['platform'] or done.manifest['host']}\n")
    out(f"on the other machine:  envkit images load {done.path.name}\n")


def _entry(row: dict[str, Any]) -> tuple[str, str]:
    return (row.get("reference") or f"{row['name']} {row['version']}".strip(), size(row["size"]))


def loaded(done: Loaded, flags: Flags, out: Out) -> None:
    """Print each entry of the archive, and whether it was present before."""
    if flags.json:
        rows = [{"name": one.name, "result": one.result} for one in done.entries]
        out(json.dumps({"loaded": rows, "notes": list(done.notes)}, indent=2) + "\n")
        return
    out(table([(one.result, one.name) for one in done.entries], edge(flags.environ)))
    out("".join(f"note: {note}\n" for note in done.notes))


def brought(done: Sequence[Brought], flags: Flags, out: Out) -> None:
    """Print each image and the nodes into which it was loaded."""
    if flags.json:
        rows = [{"image": one.image, "id": one.id, "brought_into": list(one.nodes)} for one in done]
        out(json.dumps({"images": rows}, indent=2) + "\n")
        return
    out("".join(f"{one.image}: {_whereto(one)}\n" for one in done))


def _whereto(one: Brought) -> str:
    return f"loaded into {', '.join(one.nodes)}" if one.nodes else "is already present"
