"""Exports images from an engine as an archive, and imports such an archive into an engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

from envkit.base.errors import EngineError
from envkit.base.waiting import Cancel
from envkit.drivers.engine.sdk import translated

PLATFORM_API = "1.48"
"""The first API version that can save an image for one platform."""

Report = Callable[[str], None]


def exported(api: Any, images: Sequence[str]) -> Iterator[bytes]:
    """Return the chunks of an archive of the images for one platform; images in it share their layers.

    If the request names no platform, Docker with containerd's image store saves all platforms of an image's index,
    although it has the layers of only one platform.
    """
    from docker.utils import version_lt

    params: dict[str, Any] = {"names": list(images)}
    version = str(api._version)
    if not version_lt(str(api.version(api_version=False).get("ApiVersion", "1.40")), PLATFORM_API):
        found = api.inspect_image(images[0])
        params["platform"] = json.dumps({"os": found["Os"], "architecture": found["Architecture"]})
        version = PLATFORM_API
    response = api.get(f"{api.base_url}/v{version}/images/get", params=params, stream=True, timeout=api.timeout)
    api._raise_for_status(response)
    chunks: Iterator[bytes] = response.iter_content(1 << 20)
    return chunks


class _Counted:
    """Iterates over a file's chunks, reports how many MiB it has read, and stops when cancelled."""

    def __init__(self, file: IO[bytes], size: int, report: Report, cancel: Cancel) -> None:
        self._file, self._size, self._report, self._cancel = file, size, report, cancel
        self._done = self._told = 0

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._file.read(1 << 20):
            self._cancel.check()
            yield chunk
            self._done += len(chunk)
            if self._done >> 26 > self._told:
                self._told = self._done >> 26
                self._report(f"{self._done / 2**20:.0f} of {self._size / 2**20:.0f} MiB")


def imported(api: Any, file: IO[bytes], size: int, report: Report, cancel: Cancel) -> None:
    """Load an archive of images into the engine. Raises `EngineError` with the engine's message."""
    with translated("loading images"):
        response = api.post(
            f"{api.base_url}/v{api._version}/images/load", data=iter(_Counted(file, size, report, cancel)),
            params={"quiet": 1}, headers={"Content-Type": "application/x-tar"}, stream=True, timeout=api.timeout,
        )  # fmt: skip
        api._raise_for_status(response)
        for line in response.iter_lines():
            row = json.loads(line) if line.strip() else {}
            if row.get("error"):
                raise EngineError(f"loading images: the engine answered: {row['error']}")
