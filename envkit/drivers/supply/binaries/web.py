"""Sends one GET through the user's proxy, with a time limit; turns urllib3's exceptions into readable messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from envkit.base.deadline import Deadline
from envkit.base.waiting import TryAgain
from envkit.drivers.supply.binaries.models import Rejected

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

CONNECT_SECONDS = 5.0
"""Seconds to wait for a connection to a host. The time is short, so that envkit soon reports an unreachable host."""

READ_SECONDS = 30.0
"""Seconds without a byte after which the connection counts as broken."""

BUSY = (429, 500, 502, 503, 504)
"""Status codes of temporary failures, after which envkit tries again."""


@contextmanager
def opened(
    url: str, environ: Mapping[str, str], headers: Mapping[str, str], deadline: Deadline
) -> Iterator[BaseHTTPResponse]:
    """Open a URL and yield the response, which has status 200, 206 or 416; close it afterwards.

    The deadline covers the whole exchange. Raises `TryAgain` after a temporary failure, and `Rejected` after every
    other failure.
    """
    from urllib3 import Retry, Timeout

    from envkit.base.deadline_urllib3 import bounded

    timeout = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    hops = Retry(total=5, connect=0, read=0, status=0, other=0, redirect=5)
    with translated(url), bounded(_pool(url, environ), lambda: deadline) as pool:
        response = pool.request(
            "GET", url, headers=dict(headers), preload_content=False, timeout=timeout, retries=hops
        )  # fmt: skip
        try:
            _must_serve(url, response.status)
            yield response
        finally:
            response.close()


def _must_serve(url: str, status: int) -> None:
    if status in BUSY:
        raise TryAgain(f"{url}: the server answers {status}")
    if status not in (200, 206, 416):
        raise Rejected(f"{url}: the server answers {status}")


def _pool(url: str, environ: Mapping[str, str]) -> PoolManager:
    """Return a connection pool that uses the proxy that the environment variables name for this URL."""
    from urllib3 import PoolManager, ProxyManager

    parts = urlsplit(url)
    names = (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    proxy = next((environ[name] for name in names if environ.get(name)), None)
    spared = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if proxy and not is_spared(parts.hostname or "", spared):
        return ProxyManager(proxy)
    return PoolManager()


def is_spared(host: str, no_proxy: str) -> bool:
    """Return whether NO_PROXY exempts the host from the proxy; NO_PROXY is `*` or a list of names and domains."""
    names = [name.strip().lstrip(".").lower() for name in no_proxy.split(",") if name.strip()]
    return any(name in ("*", host) or host.endswith(f".{name}") for name in names)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn urllib3's error for a broken connection into `TryAgain`, and every other urllib3 error into `Rejected`."""
    from urllib3 import exceptions as wrong

    host = urlsplit(url).hostname
    try:
        yield
    except wrong.HTTPError as error:
        cause = (error.reason if isinstance(error, wrong.MaxRetryError) else None) or error
        if isinstance(cause, wrong.ReadTimeoutError | wrong.ProtocolError):
            raise TryAgain(f"the connection to {host} broke: {cause}") from error
        if isinstance(cause, wrong.ProxyError):
            raise Rejected(f"{host} cannot be reached: the proxy failed: {_plain(cause.original_error)}") from error
        raise Rejected(f"{host} cannot be reached: {_plain(cause)}") from error


def _plain(error: Exception) -> str:
    """Return the error's text without the connection object that urllib3 puts before it."""
    from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

    if isinstance(error, NameResolutionError):
        return "its name does not resolve (no network?)"
    if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
        return f"no answer within {CONNECT_SECONDS:g} s"
    return str(error).rpartition(">: ")[2] or str(error)
