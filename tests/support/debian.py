"""A Debian repository on 127.0.0.1 with its own key, and an HTTP proxy that corrupts the answers to apt."""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

Spoil = Callable[[bytes], tuple[bytes, int]]
"""A function from the body to the body that is sent, and to the length in the header."""

TOOLS = "redis-tools"

SPOILS: Mapping[str, Spoil] = {
    "the line is cut": lambda body: (body[: len(body) // 2], len(body)),
    "half of it, as if it were all": lambda body: (body[: len(body) // 2], len(body) // 2),
    "one byte is changed": lambda body: (body[:-1] + bytes([body[-1] ^ 1]), len(body)),
}


@dataclass
class Proxy:
    """A proxy that forwards apt's requests and corrupts answers to paths that end with `suffix`."""

    port: int
    suffix: str = ""
    spoil: Spoil = lambda body: (body, len(body))


@dataclass(frozen=True)
class Repository:
    """A signed repository, and an apt configuration that uses only this repository, through the proxy."""

    folder: Path
    proxy: Proxy
    config: Path

    def install(self, *names: str) -> None:
        """Write into dpkg's database that packages are installed, without installing their files."""
        arch = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout
        status = self.config.with_name("status")
        status.write_text("".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: 5:7.0.15-1\nArchitecture: {arch.strip()}\n"
            "Maintainer: nobody <n@example.org>\nDescription: a test\n\n"
            for name in names
        ))  # fmt: skip
        with self.config.open("a") as config:
            config.write(f'Dir::State::status "{status}";\n')

    def environ(self, home: Path) -> dict[str, str]:
        """Return the variables of a job in which apt uses only this repository."""
        return {
            "APT_CONFIG": str(self.config), "PATH": os.environ["PATH"], "HOME": str(home),
            "ENVKIT_CACHE_DIR": str(home / "cache"),
        }  # fmt: skip


@contextmanager
def repository(folder: Path) -> Iterator[Repository]:
    """Serve a repository with the packages below, signed with a new key."""
    site = folder / "site"
    _publish(site)
    _sign(site / "dists" / "stable", folder / "gnupg")
    with _serving(_Files, folder=site) as origin:
        proxy = Proxy(0)
        with _serving(_Spoiling, proxy=proxy) as proxy.port:
            yield Repository(site, proxy, _configure(folder, origin, proxy.port))


def _configure(folder: Path, origin: int, proxy: int) -> Path:
    sources, config = folder / "sources.list", folder / "apt.conf"
    key = folder / "gnupg" / "key.asc"
    sources.write_text(f"deb [signed-by={key}] http://127.0.0.1:{origin}/ stable main\n")
    (folder / "parts").mkdir()
    config.write_text(
        f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "{folder / "parts"}";\n'
        f'Acquire::http::Proxy "http://127.0.0.1:{proxy}/";\nAcquire::http::Proxy::127.0.0.1 "http://127.0.0.1:{proxy}/";\n'
    )
    return config


def _publish(site: Path) -> None:
    """Write a binary package `etcd-server`, and a source package `kubernetes` of the version that envkit can build."""
    index = site / "dists" / "stable" / "main"
    arch = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()
    etcd = "#!/bin/sh\necho 'etcd Version: 3.4.23'\n# " + "x" * 20_000 + "\n"
    redis = "#!/bin/sh\necho 'Redis server v=7.0.15 sha=00000000:0'\n"
    stanzas = [
        _deb(site, arch, "etcd-server", "1:3.4.23-4", {"usr/bin/etcd": etcd}),
        _deb(site, arch, "redis-tools", "5:7.0.15-1", {"usr/bin/redis-check-rdb": redis, "usr/bin/redis-cli": redis}),
        _deb(site, arch, "redis-server", "5:7.0.15-1", {"usr/bin/redis-server": "-> redis-check-rdb"},
             depends=f"Depends: {TOOLS}\n"),
    ]  # fmt: skip
    _write(index / f"binary-{arch}" / "Packages", "\n".join(stanzas))
    archive = site / "pool" / "kubernetes_1.20.5+really1.20.2.orig.tar.gz"
    archive.write_bytes(_tarball())
    dsc = site / "pool" / "kubernetes_1.20.5+really1.20.2-1.dsc"
    dsc.write_text("not needed\n")
    rows = "".join(f" {_sha256(path)} {path.stat().st_size} {path.name}\n" for path in (dsc, archive))
    _write(
        index / "source" / "Sources",
        "Package: kubernetes\nBinary: kubernetes-client\nVersion: 1.20.5+really1.20.2-1\nArchitecture: any\n"
        "Maintainer: nobody <n@example.org>\nFormat: 3.0 (quilt)\nDirectory: pool\n"
        f"Checksums-Sha256:\n{rows}\n",
    )


def _deb(site: Path, arch: str, name: str, version: str, files: Mapping[str, str], depends: str = "") -> str:
    """Create a package of scripts and links, and return its entry in the package list."""
    tree = site.parent / f"tree-{name}"
    for path, text in files.items():
        if text.startswith("-> "):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).symlink_to(text.removeprefix("-> "))
        else:
            _write(tree / path, text)
            (tree / path).chmod(0o755)
    head = f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: nobody <n@example.org>\n{depends}"
    _write(tree / "DEBIAN" / "control", f"{head}Description: a test\n")
    (site / "pool").mkdir(parents=True, exist_ok=True)
    deb = site / "pool" / f"{name}_{version.partition(':')[2]}_{arch}.deb"
    argv = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(deb)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    facts = f"Filename: pool/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {_sha256(deb)}\n"
    return f"{head}{facts}Description: a test\n"


def _tarball() -> bytes:
    """Return an archive of random content, so that a truncated one still begins like a valid one."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        entry = tarfile.TarInfo("kubernetes/cmd/kube-apiserver/apiserver.go")
        entry.size = 300_000
        bundle.addfile(entry, io.BytesIO(os.urandom(entry.size)))
    return buffer.getvalue()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sign(suite: Path, home: Path) -> None:
    files = sorted(path for path in suite.rglob("*") if path.is_file())
    rows = "".join(f" {_sha256(path)} {path.stat().st_size} {path.relative_to(suite)}\n" for path in files)
    release = suite / "Release"
    release.write_text(
        "Origin: test\nSuite: stable\nCodename: stable\nComponents: main\n"
        f"Date: Sat, 01 Jan 2022 00:00:00 UTC\nSHA256:\n{rows}"
    )
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    try:
        for words in (
            ["--quick-generate-key", "test <test@example.org>", "rsa2048", "sign", "never"],
            ["--output", str(suite / "InRelease"), "--clearsign", str(release)],
            ["--armor", "--output", str(home / "key.asc"), "--export"],
        ):
            subprocess.run([*gpg, *words], check=True, capture_output=True, timeout=120)
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False, timeout=30)
    release.unlink()


@contextmanager
def _serving(handler: type[_Handler], **facts: object) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), facts))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def answer(self, status: int, body: bytes, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class _Files(_Handler):
    folder: Path

    def do_GET(self) -> None:
        path = self.folder / self.path.lstrip("/").replace("%2b", "+")
        status, body = (200, path.read_bytes()) if path.is_file() else (404, b"")
        self.answer(status, body, len(body))


class _Spoiling(_Handler):
    proxy: Proxy

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        connection = http.client.HTTPConnection(asked.hostname or "", asked.port, timeout=10)
        try:
            connection.request("GET", asked.path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        spoilt = self.proxy.suffix and asked.path.endswith(self.proxy.suffix)
        self.answer(response.status, *(self.proxy.spoil(body) if spoilt else (body, len(body))))
