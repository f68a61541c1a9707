"""Wraps the Docker SDK: makes clients for an endpoint, translates errors, packs and unpacks tar archives."""

from __future__ import annotations

import io
import os
import queue
import tarfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit.base.errors import EngineError
from envkit.base.waiting import Cancel
from envkit.config.models import File
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.engine.file_owners import ROOT, ids

if TYPE_CHECKING:
    from docker import APIClient

CALL_SECONDS = 60
"""Time limit for one call of the engine's API; in the streams of pulls and builds, for each wait for data."""

API_VERSION = "1.40"
"""API version of Docker >= 19.03 and Podman >= 3; a fixed version saves one request. Docker 29 refuses this one."""


def connect(
    endpoint: Endpoint, seconds: int = CALL_SECONDS, version: str = API_VERSION, cancel: Cancel | None = None
) -> APIClient:
    """Return a client of the engine.

    The client uses the API version `version`, or the oldest version that the engine accepts, if that is newer.

    The client uses certificates and ssh like the docker command line. Each call has a time limit of `seconds` and stops
    when cancelled; see `engine_sockets`. Raises `EngineError`.
    """
    from docker import APIClient
    from docker.utils import version_lt

    if endpoint.oldest_api and version_lt(version, endpoint.oldest_api):
        version = endpoint.oldest_api
    with translated(f"connecting to {endpoint.url}"):
        from envkit.drivers.engine.engine_sockets import keep_time

        tls = tls_of(endpoint.url)
        api = APIClient(base_url=endpoint.url, version=version, timeout=seconds, tls=tls, use_ssh_client=True)
        return keep_time(api, cancel)


def executed(api: Any, container: str, argv: Sequence[str]) -> tuple[int, str]:
    """Run a command in a container within the client's time limit; return the exit code and the output.

    It does not use the SDK's `exec_start`, because that waits for output without a time limit.
    """
    made = api.exec_create(container, list(argv))
    answer = api._post_json(api._url("/exec/{0}/start", made["Id"]), data={"Tty": False, "Detach": False})
    output = b"".join(api._multiplexed_buffer_helper(answer))
    return int(api.exec_inspect(made["Id"])["ExitCode"] or 0), text(output)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the SDK's errors into `EngineError`; the message has the operation (`doing`) and the engine's answer."""
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


def pack(files: Sequence[File], owner: str = ROOT) -> bytes:
    """Return a tar archive of the files, relative to a container's root.

    `owner` (uid, or uid:gid) is the owner of each file that does not name an owner.
    """
    members = []
    for file in files:
        data = file.content.encode() if file.content is not None else Path(str(file.source)).read_bytes()
        info = tarfile.TarInfo(file.path.lstrip("/"))
        info.size, info.mode = len(data), file.permissions
        info.uid, info.gid = ids(file.owner or owner)
        members.append((info, data))
    return _archive(members)


def pack_in_place(path: str, content: bytes, like: tarfile.TarInfo) -> bytes:
    """Return an archive that replaces a file of a running container; owner and mode come from the old file.

    It first writes the new file under another name, and then makes the old name a hard link to it. So a program
    that reads the file gets the old text, the new text, or for an instant no file, but never only a part of the text.
    """
    folder, _, name = path.lstrip("/").rpartition("/")
    whole, link = tarfile.TarInfo(f"{folder}/.{name}.envkit"), tarfile.TarInfo(f"{folder}/{name}")
    for info in (whole, link):
        info.mode, info.uid, info.gid = like.mode, like.uid, like.gid
        info.mtime = int(time.time())  # programs that watch the file compare its modification time
    whole.size = len(content)
    link.type, link.linkname = tarfile.LNKTYPE, whole.name
    return _archive([(whole, content), (link, b"")])


def _archive(members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return a tar archive without padding after its end marker.

    Podman stops reading at the marker, and reports an error if the usual padding arrives after that.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
        end = tar.offset + 2 * tarfile.BLOCKSIZE
    return buffer.getvalue()[:end]


def unpack_one(stream: Iterator[bytes]) -> bytes:
    """Return the content of the first file in a tar archive."""
    return unpack_with_head(stream)[0]


def unpack_with_head(stream: Iterator[bytes]) -> tuple[bytes, tarfile.TarInfo]:
    """Return the content of the first file in a tar archive, and its header with owner and mode."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        for member in tar:
            opened = tar.extractfile(member)
            if opened:
                return opened.read(), member
    return b"", tarfile.TarInfo()


def stepwise(rows: Iterator[dict[str, Any]], cancel: Cancel) -> Iterator[dict[str, Any]]:
    """Yield the rows of a pull or build as they arrive; stop when cancelled, even while the engine sends nothing.

    A separate thread reads the stream. After a cancellation the thread continues until envkit ends; then the engine
    stops the pull or build.
    """
    end = object()
    received: queue.Queue[Any] = queue.Queue()

    def pump() -> None:
        try:
            for row in rows:
                received.put(row)
            received.put(end)
        except Exception as error:  # noqa: BLE001  the calling thread raises it
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
    """Return the engine's output as text; replace bytes that are not UTF-8."""
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw or "")


def tls_of(url: str) -> Any:
    """Return the TLS settings with the certificates of DOCKER_CERT_PATH, or False.

    Returns False if the address is not tcp, or DOCKER_TLS_VERIFY is not set.
    """
    if not url.startswith("tcp://") or not os.environ.get("DOCKER_TLS_VERIFY"):
        return False
    import docker

    folder = Path(os.environ.get("DOCKER_CERT_PATH", Path.home() / ".docker"))
    pair = (str(folder / "cert.pem"), str(folder / "key.pem"))
    return docker.tls.TLSConfig(client_cert=pair, ca_cert=str(folder / "ca.pem"), verify=True)
