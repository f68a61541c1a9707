"""Loads local images into a cluster's nodes. Exports each image for one platform, and only if a node lacks it."""

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
"""A file in each node, with a line `ID IMAGE` for each loaded image. It is necessary because containerd's ids of images
differ from some engines' ids."""


def local_ids(engine: Engine, images: Sequence[str]) -> dict[str, str]:
    """Return the engine's id of each image. Raises `ImageUnavailable` with the names of all missing images."""
    supply = Images(engine.api)
    found = supply.ids(images)
    missing = [image for image in dict.fromkeys(images) if image not in found]
    if missing:
        raise ImageUnavailable(
            f"these images are not on this machine, so the cluster cannot get them: {', '.join(missing)}",
            hint="build or pull it first; use the names that the engine's own command line lists",
        )
    return found


def absent(engine: Engine, node: str, wanted: dict[str, str]) -> list[str]:
    """Return the names of the images that the node does not have with the right id; `wanted` maps names to ids."""
    raw = engine.read_file(node, RECORD) or b""
    there = set(raw.decode().splitlines())
    return [image for image, identity in wanted.items() if f"{identity} {image}" not in there]


def record(engine: Engine, node: str, loaded: dict[str, str]) -> None:
    """Record the loaded images in the node; `loaded` maps names to ids. A new id of an image replaces its old one."""
    raw = (engine.read_file(node, RECORD) or b"").decode()
    kept = [line for line in raw.splitlines() if line.partition(" ")[2] not in loaded]
    lines = [*kept, *(f"{identity} {image}" for image, identity in loaded.items())]
    engine.write_file(node, RECORD, ("\n".join(lines) + "\n").encode())


def save(engine: Engine, image: str, folder: Path, cancel: Cancel) -> Path:
    """Write an archive of the image for one platform into `folder`; return the archive's path."""
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
    """Load every image into every node that lacks it; return for each image its id and the nodes that received it."""
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
