"""Fakes for the supply's tests: programs that print a version, fetchers of such programs, and a faulty server."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from envkit.drivers.supply.binaries.models import Host, Rejected
from envkit.drivers.supply.binaries.sources import Job
from envkit.drivers.supply.binaries.store import Made

LINUX = Host("linux", "amd64")
NOWHERE = Path("/nowhere")

SAYINGS = {
    "redis-server": "Redis server v={} sha=00000000:0 malloc=libc bits=64 build=1",
    "redis-cli": "redis-cli {}",
    "postgres": "postgres (PostgreSQL) {} (Debian {}-0+deb12u1)",
    "etcd": "etcd Version: {}\nGit SHA: Not provided\nGo Version: go1.19.8",
    "kubectl": 'Client Version: version.Info{{Major:"1", Minor:"20", GitVersion:"v{}", GoVersion:"go1.19.8"}}',
}
"""The text that each real program prints for `--version`."""


def script(version: str, name: str = "", *, count: Path | None = None) -> str:
    """Return a shell script that prints a version; with `count` it records each call."""
    said = SAYINGS.get(name, "Kubernetes v{}" if name.startswith("kube") else f"{name} {{}}").format(version, version)
    tally = f"echo >> {count}\n" if count else ""
    return f"#!/bin/sh\n{tally}cat <<'END'\n{said}\nEND\n"


def put(folder: Path, *names: str, version: str = "7.0.15", count: Path | None = None) -> Path:
    """Write programs of that version into the folder and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(script(version, name, count=count))
        (folder / name).chmod(0o755)
    return folder


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    """Return variables that hide this machine: a temporary home and cache, and a PATH for shell scripts only."""
    cache = str(tmp_path / "cache")
    return {"HOME": str(tmp_path / "home"), "ENVKIT_CACHE_DIR": cache, "PATH": str(tmp_path / "path"), **more}


@dataclass
class Maker:
    """A fetcher that makes programs of one version or fails; `calls` counts its attempts."""

    source: str
    version: str = "7.0.15"
    refuses: str = ""
    fails: BaseException | None = None
    seconds: float = 0.0
    log: Path | None = None
    calls: list[Job] = field(default_factory=list)

    def key(self, job: Job) -> str:
        if self.refuses:
            raise Rejected(self.refuses)
        return self.source.replace(" ", "-") + job.suffix

    def fetch(self, job: Job, folder: Path) -> Made:
        self.calls.append(job)
        if self.log:
            with self.log.open("a") as file:
                file.write("fetched\n")
        put(folder, *job.programs, version=self.version)
        job.cancel.event.wait(self.seconds)
        if self.fails:
            raise self.fails
        return Made({name: name for name in job.programs})


@dataclass
class Site:
    """The files of a loopback server and its planned faults."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Range header of each request."""
    cut_after: list[int] = field(default_factory=list)
    """Byte counts at which the server cuts the connection, for the next requests of files over 1000 bytes."""
    answers: list[int] = field(default_factory=list)
    """Status codes that the server sends for the next requests, without the content."""
    ranges: bool = True
    moved: dict[str, str] = field(default_factory=dict)
    base: str = ""


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve the site on 127.0.0.1 until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.site.asked.append((self.path, wanted))
        if self.site.answers:
            self.send_error(self.site.answers.pop(0))
        elif self.path in self.site.moved:
            self.send_response(302)
            self.send_header("Location", self.site.moved[self.path])
            self.end_headers()
        elif self.path in self.site.files:
            self._send(self.site.files[self.path], wanted)
        else:
            self.send_error(404)

    def _send(self, content: bytes, wanted: str) -> None:
        start = int(re.findall(r"\d+", wanted)[0]) if wanted and self.site.ranges else 0
        if wanted and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if self.path.endswith("/"):
            self.send_header("Content-Type", "text/html")  # like a page of a package index
        self.end_headers()
        cut = self.site.cut_after.pop(0) if self.site.cut_after and len(content) > 1000 else None
        self.wfile.write(content[start:][:cut])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Print no access log."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tarball(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            bundle.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()
