"""Local images brought into a cluster's nodes: saved for one platform, imported by containerd, skipped when there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from envkit.clusters.nodes import Engine, Nodes
from envkit.errors import EngineError, ImageUnavailable
from envkit.runtimes.sdk import translated
from envkit.waiting import Cancel

RECORD = "/kind/envkit-images"
"""In each node: a line `ID IMAGE` for what was imported. containerd's own ids differ from those of some engines."""

PLATFORM_API = "1.48"
"""The API version since which an image can be saved for one platform."""


def local_id(engine: Engine, image: str) -> str:
    """The engine's id of an image. Raises `ImageUnavailable` when it has none of that name."""
    from docker.errors import ImageNotFound, NotFound

    try:
        with translated(f"inspecting {image}"):
            return str(_inspected(engine, image)["Id"])
    except EngineError as error:
        if isinstance(error.__cause__, ImageNotFound | NotFound):
            raise ImageUnavailable(
                f"the image {image}, to be brought into the cluster, is not on this machine",
                hint="build or pull it first",
            ) from error
        raise


def _inspected(engine: Engine, image: str) -> dict[str, Any]:
    api: Any = engine.api
    return dict(api.inspect_image(image))


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
        for chunk in _stream(engine, image):
            cancel.check()
            file.write(chunk)
    return path


def _stream(engine: Engine, image: str) -> Any:
    """With containerd's image store, Docker saves all platforms of the index, of which it holds but one."""
    from docker.utils import version_lt

    api: Any = engine.api
    if version_lt(str(api.version(api_version=False).get("ApiVersion", "1.40")), PLATFORM_API):
        return api.get_image(image)
    found = _inspected(engine, image)
    platform = {"os": found["Os"], "architecture": found["Architecture"]}
    url = f"{api.base_url}/v{PLATFORM_API}/images/{image}/get"
    response = api.get(url, params={"platform": json.dumps(platform)}, stream=True, timeout=api.timeout)
    api._raise_for_status(response)
    return response.iter_content(1 << 20)


def bring_in(
    engine: Engine, nodes: Nodes, images: Sequence[str], folder: Path,
    load_archive: Callable[[Path, Sequence[str]], None], report: Callable[[str], None], cancel: Cancel,
) -> list[str]:  # fmt: skip
    """Bring every image into every node that lacks it; the images that were brought in."""
    wanted = {image: local_id(engine, image) for image in images}
    names = [node.name for node in nodes.all() if node.role in ("control-plane", "worker")]
    lacking = {name: absent(engine, name, wanted) for name in names}
    brought = [image for image in images if any(image in lacks for lacks in lacking.values())]
    for image in brought:
        receivers = [name for name in names if image in lacking[name]]
        report(f"bringing {image} into {', '.join(receivers)}")
        archive = save(engine, image, folder, cancel)
        try:
            load_archive(archive, receivers)
        finally:
            archive.unlink(missing_ok=True)
        for name in receivers:
            record(engine, name, {image: wanted[image]})
    return brought
