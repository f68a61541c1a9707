"""Downloads files over unreliable connections: resumes, retries, limits the time, and checks a known digest."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from envkit.base.deadline import Deadline
from envkit.base.waiting import Cancel, TryAgain, doubling, retry
from envkit.drivers.supply.binaries.models import Rejected
from envkit.drivers.supply.binaries.web import READ_SECONDS, opened

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

SECONDS = 900.0
"""Time limit for one file with all its tries: enough for 100 MB at 1 Mbit/s."""

PATIENCE = 20.0
"""Seconds for which envkit retries while no data arrives: a busy server must not delay the next source for long."""

CHUNK = 1 << 18

SAY_EVERY = 0.5
"""Shortest time in seconds between two lines of progress."""


@dataclass(frozen=True)
class Digest:
    """A digest from the repository or from the user: the algorithm (`sha256`, `sha512`) and the hexadecimal digits."""

    algorithm: str
    value: str

    def matches(self, path: Path) -> bool:
        """Return whether the file's content has this digest."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, self.algorithm).hexdigest() == self.value.lower()


@dataclass(frozen=True)
class Http:
    """Downloads files with GET and the proxy settings in `environ`. Raises `Rejected` with the reason of a failure."""

    environ: Mapping[str, str]
    seconds: float = SECONDS
    patience: float = PATIENCE
    first_pause: float = 1.0

    def text(self, url: str, cancel: Cancel) -> str:
        """Return at most the first 1 MiB of a text file. Raises `Rejected`."""

        def once() -> str:
            with opened(url, self.environ, {}, Deadline(READ_SECONDS, cancel)) as response:
                return response.read(1 << 20).decode(errors="replace")

        try:
            return retry(once, seconds=self.patience, pauses=doubling(self.first_pause), cancel=cancel)
        except TryAgain as error:
            raise Rejected(error.message) from error

    def file(
        self, url: str, digest: Digest, work: Path, *, what: str, report: Callable[[str], None], cancel: Cancel
    ) -> Path:
        """Download the file into `work`, check its digest and return the local path.

        It continues a partial download. Raises `Rejected` with the reason of a failure, and `Cancelled`.
        """
        work.mkdir(parents=True, exist_ok=True)
        whole = work / digest.value[:40]
        if whole.exists() and digest.matches(whole):
            return whole
        if url.startswith("file:"):
            return _copied(url, whole, digest)
        partial = whole.with_suffix(".part")
        # An earlier run's partial file can be damaged. If a new download differs as well, the server's file is wrong.
        for _ in range(2):
            self._complete(_Part(url, partial, what, report, cancel))
            if digest.matches(partial):
                return partial.replace(whole)
            partial.unlink()
        raise _another(url, digest)

    def _complete(self, part: _Part) -> None:
        """Download until the file is complete. Raises `Rejected` if no new data arrives for `patience` seconds."""
        ends = time.monotonic() + self.seconds
        while True:
            before = part.size
            try:
                retry(lambda: part.fetch_rest(self.environ, ends), seconds=self.patience, cancel=part.cancel,
                      progress=part.report, pauses=doubling(self.first_pause))  # fmt: skip
                return
            except TryAgain as error:
                if part.size <= before:
                    raise Rejected(f"{error.message} (tried for {self.patience:g} s)") from error


def _copied(url: str, whole: Path, digest: Digest) -> Path:
    """Copy a file from a mirror that is a local folder, check the copy's digest and return the copy's path."""
    try:
        shutil.copyfile(url2pathname(urlsplit(url).path), whole)
    except OSError as error:
        raise Rejected(f"{url} cannot be read: {error.strerror or error}") from error
    if not digest.matches(whole):
        whole.unlink()
        raise _another(url, digest)
    return whole


def _another(url: str, digest: Digest) -> Rejected:
    return Rejected(f"{url} does not have the known digest: expected {digest.algorithm} {digest.value}")


@dataclass(frozen=True)
class _Part:
    """A partly downloaded file."""

    url: str
    path: Path
    what: str
    report: Callable[[str], None]
    cancel: Cancel

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def fetch_rest(self, environ: Mapping[str, str], ends: float) -> None:
        have = self.size
        left = ends - time.monotonic()
        if left <= 0:
            raise Rejected(f"{self.url}: the download did not end in time; the next run continues it")
        deadline = Deadline(left, self.cancel, idle=READ_SECONDS)
        with opened(self.url, environ, {"Range": f"bytes={have}-"} if have else {}, deadline) as response:
            if response.status == 416:  # the file is complete, or it is a different file; the digest shows this
                return
            self._append(response, have if response.status == 206 else 0)

    def _append(self, response: BaseHTTPResponse, have: int) -> None:
        progress = _Progress(self, have, have + int(response.headers.get("Content-Length") or 0))
        with self.path.open("ab" if have else "wb") as file:
            while chunk := response.read(CHUNK, decode_content=False):
                file.write(chunk)
                progress.add(len(chunk))


class _Progress:
    """Reports how many MiB have arrived: at the start, and then at most once in `SAY_EVERY` seconds."""

    def __init__(self, part: _Part, done: int, total: int) -> None:
        self._part, self._done, self._total = part, done, total
        self._said = time.monotonic()
        part.report(f"{part.what}: {'continuing' if done else 'downloading'}{self._sizes()}")

    def add(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._said >= SAY_EVERY:
            self._said = time.monotonic()
            self._part.report(f"{self._part.what}:{self._sizes()}")

    def _sizes(self) -> str:
        total = f" of {self._total / 2**20:.0f}" if self._total else ""
        return f" {self._done / 2**20:.1f}{total} MiB"
