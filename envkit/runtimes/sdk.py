"""The Docker SDK behind one door: clients made from an endpoint, its errors translated, its archives read and made."""

from __future__ import annotations

import io
import queue
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit.config.models import File
from envkit.errors import EngineError
from envkit.runtimes.endpoint import Endpoint
from envkit.waiting import Cancel

if TYPE_CHECKING:
    from docker import APIClient

CALL_SECONDS = 60
"""One call of the engine's API; pulls and builds stream and are not bound by it."""

API_VERSION = "1.40"
"""Spoken by Docker >= 19.03 and by Podman >= 3; naming it saves a round trip."""


def connect(endpoint: Endpoint, seconds: int = CALL_SECONDS) -> APIClient:
    """A client of that engine. Certificates and ssh as the docker command line would use them."""
    from docker import APIClient

    from envkit.runtimes.discovery import tls_of

    with translated(f"connecting to {endpoint.url}"):
        return APIClient(
            base_url=endpoint.url, version=API_VERSION, timeout=seconds, tls=tls_of(endpoint.url), use_ssh_client=True
        )


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the SDK raises into `EngineError`, with what was being done and what the engine said."""
    import requests
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as error:
        raise EngineError(f"{doing}: the engine answered: {error.explanation or error}") from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise EngineError(
            f"{doing}: the engine did not answer: {error}", hint="is the engine still running?"
        ) from error


def pack(files: Sequence[File]) -> bytes:
    """A tar archive of the files with owner and mode, for the root of a container."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in files:
            data = file.content.encode() if file.content is not None else Path(str(file.source)).read_bytes()
            info = tarfile.TarInfo(file.path.lstrip("/"))
            info.size, info.mode = len(data), int(file.mode, 8)
            info.uid = info.gid = file.owner
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def unpack_one(stream: Iterator[bytes]) -> bytes:
    """The content of the first file in a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        for member in tar:
            opened = tar.extractfile(member)
            if opened:
                return opened.read()
    return b""


def stepwise(rows: Iterator[dict[str, Any]], cancel: Cancel) -> Iterator[dict[str, Any]]:
    """The rows of a pull or build as they come, but heeding `cancel` while the engine is silent.

    The stream is read in a thread of its own, which is left behind on cancel: the engine stops when the process ends.
    """
    end = object()
    received: queue.Queue[Any] = queue.Queue()

    def pump() -> None:
        try:
            for row in rows:
                received.put(row)
            received.put(end)
        except Exception as error:  # noqa: BLE001  handed over, and raised in the thread that asked
            received.put(error)

    threading.Thread(target=pump, daemon=True, name="stream").start()
    while True:
        cancel.check()
        try:
            row = received.get(timeout=0.2)
        except queue.Empty:
            continue
        if row is end:
            return
        if isinstance(row, Exception):
            raise row
        yield row


def text(raw: Any) -> str:
    """Output of the engine, which is bytes that need not be UTF-8."""
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw or "")
