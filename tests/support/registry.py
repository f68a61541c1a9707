"""A minimal container registry on 127.0.0.1. Tests add its images and choose its failures."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import struct
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

CUT = 0
"""A value in the place of a status: the registry closes the connection in the middle of the answer."""

CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS"}


@dataclass(frozen=True)
class Failure:
    """One failing answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Registry:
    """The registry: its content (manifests by repository and tag, blobs by digest), its failures and its requests."""

    port: int = 0
    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    failing: dict[str, list[Failure]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Its host and port, as in an image reference."""
        return f"127.0.0.1:{self.port}"

    def add(self, repository: str, tag: str, content: str, arch: str = "amd64") -> str:
        """Serve an image with one file, and a program that exits at once with 0; return the image's digest."""
        layer = _layer({"content": content.encode(), "done": done(arch)})
        config = _json({
            "architecture": arch, "os": "linux", "config": {"Cmd": ["/done"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "tests"}],
        })  # fmt: skip
        packed = gzip.compress(layer, mtime=0)
        manifest = _json({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(config), "digest": _digest(config)},
            "layers": [{"mediaType": LAYER, "size": len(packed), "digest": _digest(packed)}],
        })  # fmt: skip
        self.blobs |= {_digest(config): config, _digest(packed): packed}
        for reference in (tag, _digest(manifest)):
            self.manifests[repository, reference] = manifest
        return _digest(manifest)

    def fail(self, repository: str, *statuses: int, **headers: str) -> None:
        """Answer the next requests for a manifest of the repository with these statuses, one each; then normally."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.failing[repository] = [Failure(status, named) for status in statuses]

    def asked_for(self, repository: str) -> int:
        """Return the number of requests for a manifest of the repository."""
        return sum(path.startswith(f"/v2/{repository}/manifests/") for path in self.asked)


@contextmanager
def serving() -> Iterator[Registry]:
    """Run a registry until the context ends."""
    registry = Registry()

    class Handler(_Handler):
        served = registry

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: Registry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *_args: object) -> None:
        pass

    def _answer(self) -> None:
        self.served.asked.append(self.path)
        parts = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", self.path)
        repository, kind, reference = parts.groups() if parts else ("", "", "")
        if kind == "manifests":
            failing = self.served.failing.get(repository, [])
            if failing:
                self._fail(failing.pop(0))
                return
            found = self.served.manifests.get((repository, reference))
        else:
            found = self.served.blobs.get(reference) if kind == "blobs" else b"{}" if self.path == "/v2/" else None
        if found is None:
            self._fail(Failure(404))
        else:
            self._send(200, found, {"Content-Type": MANIFEST if kind == "manifests" else "application/octet-stream"})

    def _fail(self, failure: Failure) -> None:
        if failure.status == CUT:
            self._send(200, b"{", {"Content-Type": MANIFEST}, claimed=1000)
            self.close_connection = True
            return
        code = CODES.get(failure.status, "UNAVAILABLE")
        body = _json({"errors": [{"code": code, "message": code.lower()}]})
        self._send(failure.status, body, {"Content-Type": "application/json", **failure.headers})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], claimed: int = 0) -> None:
        self.send_response(status)
        sent = {"Content-Length": str(claimed or len(body)), **headers}
        if headers.get("Content-Type") == MANIFEST and not claimed:
            sent["Docker-Content-Digest"] = _digest(body)
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def done(arch: str) -> bytes:
    """Return a minimal Linux program that exits with 0: the ELF headers and the call `_exit(0)`."""
    machine, code = {
        "amd64": (62, "31ff b83c000000 0f05"),
        "arm64": (183, "000080d2 a80b80d2 010000d4"),
    }[arch]  # fmt: skip
    text, base, heads = bytes.fromhex(code), 0x400000, 120
    size = heads + len(text)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, machine, 1, base + heads, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + text


def _layer(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
