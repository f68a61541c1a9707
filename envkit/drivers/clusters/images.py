"""Local images brought into a cluster's nodes: saved for one platform, imported by containerd, skipped when there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from envkit.base.errors import ImageUnavailable
from envkit.base.waiting import Cancel
from envkit.drivers.clusters.nodes import Engine, Nodes
from envkit.drivers.engine.exporting import exported
from envkit.drivers.engine.sdk import translated
from envkit.drivers.supply.images import Images

RECORD = "/kind/envkit-images"
"""In each node: a line `ID IMAGE` for what was imported. containerd's own ids differ from those of some engines."""


def local_ids(engine: Engine, images: Sequence[str]) -> dict[str, str]:
    """The engine's id of each image. Raises `ImageUnavailable` naming every one that it has not."""
    supply = Images(engine.api)
    found = supply.ids(images)
    missing = [image for image in dict.fromkeys(images) if image not in found]
    if missing:
        raise ImageUnavailable(
            f"not on this machine, so not to be brought into the cluster: {', '.join(missing)}",
            hint="build or pull it first; names are those that the engine's own command line lists",
        )
    return found


def absent(engine: Engine, node: str, wanted: dict[str, str]) -> list[str]:
    """Those of `wanted` (image -> id) that the node does not hold with that id."""
    raw = engine.read_file(node, RECORD) or b""
    there = set(raw.decode().splitlines())
    return [image for image, identity in wanted.items() if f"{identity} {image}" not in there]


def record(engine: Engine, node: str, loaded: dict[str, str]) -> None:
    """Remember what was imported, the newest id of each image only."""
    raw = (engine.read_file(node, RECORD) or b"").decode()
    kept = [line for line in raw.splitlines() if line.partition(" ")[2] not in loaded]
    lines = [*kept, *(f"{identity} {image}" for image, identity in loaded.items())]
    engine.write_file(node, RECORD, ("\n".join(lines) + "\n").encode())


def save(engine: Engine, image: str, folder: Path, cancel: Cancel) -> Path:
    """An archive of the image, of one platform, with its full name."""
    path = Path(tempfile.mkstemp(suffix=".tar", dir=folder)[1])
    with translated(f"saving {image}"), path.open("wb") as file:
        for chunk in exported(engine.api, [image]):
            cancel.check()
            file.write(chunk)
    return path


def bring_in(
    engine: Engine, nodes: Nodes, images: Sequence[str], folder: Path,
    load_archive: Callable[[Path, Sequence[str]], None], report: Callable[[str], None], cancel: Cancel,
) -> dict[str, tuple[str, list[str]]]:  # fmt: skip
    """Bring every image into every node that lacks it; for each its id and the nodes that got it."""
    wanted = local_ids(engine, images)
    names = [node.name for node in nodes.all() if node.role in ("control-plane", "worker")]
    lacking = {name: absent(engine, name, wanted) for name in names}
    done = {image: (wanted[image], [name for name in names if image in lacking[name]]) for image in wanted}
    for image, (identity, receivers) in done.items():
        if not receivers:
            continue
        report(f"bringing {image} into {', '.join(receivers)}")
        archive = save(engine, image, folder, cancel)
        try:
            load_archive(archive, receivers)
        finally:
            archive.unlink(missing_ok=True)
        for name in receivers:
            record(engine, name, {image: identity})
    return done
