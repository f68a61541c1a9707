"""The Docker SDK behind one door: clients made from an endpoint, its errors translated, its archives read and made."""

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
"""One call of the engine's API; pulls and builds stream and are not bound by it."""

API_VERSION = "1.40"
"""Spoken by Docker >= 19.03 and by Podman >= 3; naming it saves a round trip. Docker 29 refuses what is below 1.44."""


def connect(
    endpoint: Endpoint, seconds: int = CALL_SECONDS, version: str = API_VERSION, cancel: Cancel | None = None
) -> APIClient:
    """A client of that engine, speaking this version or the oldest that the engine still speaks.

    Certificates and ssh as the docker command line would use them. Each call has `seconds` in all, and hears `cancel`;
    see `engine_sockets`.
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
    """Run a command in a container: exit code and output, all of it within the client's seconds.

    The SDK's own `exec_start` waits for output without an end.
    """
    made = api.exec_create(container, list(argv))
    answer = api._post_json(api._url("/exec/{0}/start", made["Id"]), data={"Tty": False, "Detach": False})
    output = b"".join(api._multiplexed_buffer_helper(answer))
    return int(api.exec_inspect(made["Id"])["ExitCode"] or 0), text(output)


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


def pack(files: Sequence[File], owner: str = ROOT) -> bytes:
    """A tar archive of the files for the root of a container; `owner` (uid, or uid:gid) has those that name none."""
    members = []
    for file in files:
        data = file.content.encode() if file.content is not None else Path(str(file.source)).read_bytes()
        info = tarfile.TarInfo(file.path.lstrip("/"))
        info.size, info.mode = len(data), file.permissions
        info.uid, info.gid = ids(file.owner or owner)
        members.append((info, data))
    return _archive(members)


def pack_in_place(path: str, content: bytes, like: tarfile.TarInfo) -> bytes:
    """An archive that replaces a file of a running container, with owner and mode of the old one.

    The new one is written whole under another name before the old name is led to it: whoever reads finds the old text,
    the new text, or for an instant no file, and never half of one.
    """
    folder, _, name = path.lstrip("/").rpartition("/")
    whole, link = tarfile.TarInfo(f"{folder}/.{name}.envkit"), tarfile.TarInfo(f"{folder}/{name}")
    for info in (whole, link):
        info.mode, info.uid, info.gid = like.mode, like.uid, like.gid
        info.mtime = int(time.time())  # who watches a file goes by that
    whole.size = len(content)
    link.type, link.linkname = tarfile.LNKTYPE, whole.name
    return _archive([(whole, content), (link, b"")])


def _archive(members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A tar archive that ends where its end is marked.

    Podman reads no further than that, and takes it for an error when the padding that is usual comes too late for it.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
        end = tar.offset + 2 * tarfile.BLOCKSIZE
    return buffer.getvalue()[:end]


def unpack_one(stream: Iterator[bytes]) -> bytes:
    """The content of the first file in a tar archive."""
    return unpack_with_head(stream)[0]


def unpack_with_head(stream: Iterator[bytes]) -> tuple[bytes, tarfile.TarInfo]:
    """The content of the first file in a tar archive, and what is said of it: owner, mode."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        for member in tar:
            opened = tar.extractfile(member)
            if opened:
                return opened.read(), member
    return b"", tarfile.TarInfo()


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


def tls_of(url: str) -> Any:
    """Certificates of DOCKER_CERT_PATH for a tcp endpoint that wants them."""
    if not url.startswith("tcp://") or not os.environ.get("DOCKER_TLS_VERIFY"):
        return False
    import docker

    folder = Path(os.environ.get("DOCKER_CERT_PATH", Path.home() / ".docker"))
    pair = (str(folder / "cert.pem"), str(folder / "key.pem"))
    return docker.tls.TLSConfig(client_cert=pair, ca_cert=str(folder / "ca.pem"), verify=True)
