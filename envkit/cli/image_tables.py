"""Images, pulls, archives: as people or programs read them."""

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
    """A row for each image; what is missing at the end."""
    if flags.json:
        out(json.dumps({"images": [as_data(part) for part in found]}, indent=2) + "\n")
        return
    if not found:
        out("this environment is started from no image\n")
        return
    heading = ("IMAGE", "USED BY", "HERE", "SIZE", "ID", "FROM")
    out(table([heading, *map(_row, found)], edge(flags.environ), headed=True))
    missing = sum(not part.here for part in found)
    out(f"\n{missing} of {len(found)} are not here\n" if missing else "\neverything is here\n")


def _row(part: Part) -> tuple[str, ...]:
    here = "yes" if part.here else "no"
    return (
        part.name, ", ".join(part.used_by), here, size(part.size) if part.size else "-",
        part.id.removeprefix("sha256:")[:12] or "-", part.origin,
    )  # fmt: skip


def as_data(part: Part) -> dict[str, Any]:
    """One image for a program; what is not here has neither id nor size."""
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
    """Bytes in the unit that fits."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def results(done: Sequence[Result], flags: Flags, out: Out) -> None:
    """What became of each image, with the reason where it failed."""
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
    """The archive, what is in it, and what to do with it."""
    if flags.json:
        out(json.dumps({"file": str(done.path), "size": done.size, **done.manifest}, indent=2) + "\n")
        return
    images, programs = done.manifest["images"], done.manifest["programs"]
    out(table([("in it", *_entry(row)) for row in (*images, *programs)], edge(flags.environ)))
    out("".join(f"note: {note}\n" for note in done.notes))
    out(f"\n{done.path}: {size(done.size)}, for {done.manifest['platform'] or done.manifest['host']}\n")
    out(f"on the other machine:  envkit images load {done.path.name}\n")


def _entry(row: dict[str, Any]) -> tuple[str, str]:
    return (row.get("reference") or f"{row['name']} {row['version']}".strip(), size(row["size"]))


def loaded(done: Loaded, flags: Flags, out: Out) -> None:
    """What was in the archive, and what of it was there before."""
    if flags.json:
        rows = [{"name": one.name, "result": one.result} for one in done.entries]
        out(json.dumps({"loaded": rows, "notes": list(done.notes)}, indent=2) + "\n")
        return
    out(table([(one.result, one.name) for one in done.entries], edge(flags.environ)))
    out("".join(f"note: {note}\n" for note in done.notes))


def brought(done: Sequence[Brought], flags: Flags, out: Out) -> None:
    """Each image, and the nodes that got it."""
    if flags.json:
        rows = [{"image": one.image, "id": one.id, "brought_into": list(one.nodes)} for one in done]
        out(json.dumps({"images": rows}, indent=2) + "\n")
        return
    out("".join(f"{one.image}: {_whereto(one)}\n" for one in done))


def _whereto(one: Brought) -> str:
    return f"brought into {', '.join(one.nodes)}" if one.nodes else "is there already"
