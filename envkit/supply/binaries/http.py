"""Downloads that survive a bad line: resumed, tried again, checked against the published digest, bounded."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from envkit.supply.binaries.models import Unfit
from envkit.waiting import Cancel, TryAgain, retry

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

T = TypeVar("T")

CONNECT_SECONDS = 5.0
"""A host that does not answer by then is taken as out of reach: offline must be said fast."""

READ_SECONDS = 30.0
"""Without a byte, before the line is taken as cut."""

SECONDS = 900.0
"""For one file with all its retries: 100 MB at 1 Mbit/s."""

CHUNK = 1 << 18

SAY_EVERY = 0.5
"""Seconds between two lines of progress."""


@dataclass(frozen=True)
class Digest:
    """A published digest: `sha256` or `sha512`, and its hexadecimal digits."""

    algorithm: str
    value: str

    def matches(self, path: Path) -> bool:
        """Whether the file's content is the published one."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, self.algorithm).hexdigest() == self.value.lower()


class Http:
    """GET with the user's proxy settings; every failure is an `Unfit` in plain words, or `TryAgain`."""

    def __init__(self, environ: Mapping[str, str], *, seconds: float = SECONDS, first_pause: float = 1.0) -> None:
        self._environ = environ
        self._seconds = seconds
        self._first_pause = first_pause

    def text(self, url: str, cancel: Cancel) -> str:
        """The body of a small file."""

        def once() -> str:
            with self._open(url, {}) as response:
                return bytes(self._translated(url, lambda: response.read(1 << 20))).decode(errors="replace")

        return self._patiently(once, cancel, None)

    def file(
        self, url: str, digest: Digest, work: Path, *, what: str, report: Callable[[str], None], cancel: Cancel
    ) -> Path:
        """The path of the whole, checked file below `work`, where a partial one is gone on from."""
        work.mkdir(parents=True, exist_ok=True)
        whole = work / digest.value[:40]
        if whole.exists() and digest.matches(whole):
            return whole
        partial = whole.with_suffix(".part")

        def once() -> None:
            self._fetch_rest(url, partial, what, report, cancel)
            if not digest.matches(partial):
                partial.unlink()
                raise TryAgain(f"{url} does not have the published {digest.algorithm}")

        self._patiently(once, cancel, report)
        partial.replace(whole)
        return whole

    def _patiently(self, once: Callable[[], T], cancel: Cancel, report: Callable[[str], None] | None) -> T:
        try:
            return retry(once, seconds=self._seconds, cancel=cancel, progress=report, first=self._first_pause)
        except TryAgain as error:
            raise Unfit(f"{error.message} (tried for {self._seconds:g} s)") from error

    def _fetch_rest(self, url: str, partial: Path, what: str, report: Callable[[str], None], cancel: Cancel) -> None:
        have = partial.stat().st_size if partial.exists() else 0
        with self._open(url, {"Range": f"bytes={have}-"} if have else {}) as response:
            if response.status == 416:  # all of it is here, or it is not a part of this file: the digest will tell
                return
            have = have if response.status == 206 else 0
            total = have + int(response.headers.get("Content-Length") or 0)
            with partial.open("ab" if have else "wb") as file:
                progress = _Progress(what, have, total, report)
                for chunk in self._chunks(url, response):
                    cancel.check()
                    file.write(chunk)
                    progress.add(len(chunk))

    def _chunks(self, url: str, response: BaseHTTPResponse) -> Any:
        ends = time.monotonic() + self._seconds
        while chunk := self._translated(url, lambda: response.read(CHUNK, decode_content=False)):
            if time.monotonic() > ends:
                raise Unfit(f"{url}: not whole within {self._seconds:g} s; the next run goes on from here")
            yield chunk

    def _open(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        from urllib3 import Retry, Timeout

        timeout = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        hops = Retry(total=5, connect=0, read=0, status=0, other=0, redirect=5)
        response: BaseHTTPResponse = self._translated(
            url,
            lambda: self._pool(url).request(
                "GET", url, headers=dict(headers), preload_content=False, timeout=timeout, retries=hops
            ),
        )
        if response.status in (429, 500, 502, 503, 504):
            response.release_conn()
            raise TryAgain(f"{url}: the server answers {response.status}")
        if response.status not in (200, 206, 416):
            response.release_conn()
            raise Unfit(f"{url}: the server answers {response.status}")
        return response

    def _pool(self, url: str) -> Any:
        """A pool, through the proxy that the environment names for this URL."""
        from urllib3 import PoolManager, ProxyManager

        parts = urlsplit(url)
        names = (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
        proxy = next((self._environ[name] for name in names if self._environ.get(name)), None)
        spared = self._environ.get("no_proxy") or self._environ.get("NO_PROXY") or ""
        if proxy and not is_spared(parts.hostname or "", spared):
            return ProxyManager(proxy)
        return PoolManager()

    def _translated(self, url: str, call: Callable[[], Any]) -> Any:
        """Urllib3's exceptions: nobody there is final, a cut line is tried again."""
        from urllib3 import exceptions as wrong

        host = urlsplit(url).hostname
        try:
            return call()
        except wrong.MaxRetryError as error:
            cause = error.reason
            if isinstance(cause, wrong.ReadTimeoutError | wrong.ProtocolError):
                raise TryAgain(f"{url}: {cause}") from error
            raise Unfit(f"{host} cannot be reached: {_plain(cause)}") from error
        except (wrong.ProtocolError, wrong.ReadTimeoutError) as error:
            raise TryAgain(f"the line to {host} was cut: {_plain(error)}") from error
        except wrong.HTTPError as error:
            raise Unfit(f"{host} cannot be reached: {_plain(error)}") from error


def is_spared(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY, a list of names and of domains, or `*`, takes this host from the proxy."""
    names = [name.strip().lstrip(".").lower() for name in no_proxy.split(",") if name.strip()]
    return any(name in ("*", host) or host.endswith(f".{name}") for name in names)


def _plain(error: Exception | None) -> str:
    """Without urllib3's address of a connection object."""
    from urllib3.exceptions import ConnectTimeoutError, NameResolutionError

    if isinstance(error, NameResolutionError):
        return "its name does not resolve (no network?)"
    if isinstance(error, ConnectTimeoutError):
        return f"no answer within {CONNECT_SECONDS:g} s"
    return str(error).rpartition(">: ")[2] or str(error)


class _Progress:
    """At most one line in `SAY_EVERY` seconds."""

    def __init__(self, what: str, done: int, total: int, report: Callable[[str], None]) -> None:
        self._what, self._done, self._total, self._report = what, done, total, report
        self._said = 0.0
        report(f"{what}: {'going on' if done else 'downloading'}{self._sizes()}")

    def add(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._said >= SAY_EVERY:
            self._said = time.monotonic()
            self._report(f"{self._what}:{self._sizes()}")

    def _sizes(self) -> str:
        total = f" of {self._total / 2**20:.0f}" if self._total else ""
        return f" {self._done / 2**20:.1f}{total} MiB"
