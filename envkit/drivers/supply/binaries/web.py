"""One GET: through the user's proxy, bounded, and with urllib3's exceptions put into plain words."""

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
"""A host that does not answer by then is taken as out of reach: offline must be said fast."""

READ_SECONDS = 30.0
"""Without a byte, before the line is taken as cut."""

BUSY = (429, 500, 502, 503, 504)
"""Answers that ask to come back later."""


@contextmanager
def opened(
    url: str, environ: Mapping[str, str], headers: Mapping[str, str], deadline: Deadline
) -> Iterator[BaseHTTPResponse]:
    """The answer 200, 206 or 416, all of it within the deadline; closed afterwards.

    Raises `Rejected`, and `TryAgain` where that may help.
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
    """A pool, through the proxy that the environment names for this URL."""
    from urllib3 import PoolManager, ProxyManager

    parts = urlsplit(url)
    names = (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    proxy = next((environ[name] for name in names if environ.get(name)), None)
    spared = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if proxy and not is_spared(parts.hostname or "", spared):
        return ProxyManager(proxy)
    return PoolManager()


def is_spared(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY, a list of names and of domains, or `*`, takes this host from the proxy."""
    names = [name.strip().lstrip(".").lower() for name in no_proxy.split(",") if name.strip()]
    return any(name in ("*", host) or host.endswith(f".{name}") for name in names)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Nobody there is final; a cut line is tried again."""
    from urllib3 import exceptions as wrong

    host = urlsplit(url).hostname
    try:
        yield
    except wrong.HTTPError as error:
        cause = (error.reason if isinstance(error, wrong.MaxRetryError) else None) or error
        if isinstance(cause, wrong.ReadTimeoutError | wrong.ProtocolError):
            raise TryAgain(f"the line to {host} was cut: {cause}") from error
        if isinstance(cause, wrong.ProxyError):
            raise Rejected(f"{host} cannot be reached: its proxy fails: {_plain(cause.original_error)}") from error
        raise Rejected(f"{host} cannot be reached: {_plain(cause)}") from error


def _plain(error: Exception) -> str:
    """Without urllib3's address of a connection object."""
    from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

    if isinstance(error, NameResolutionError):
        return "its name does not resolve (no network?)"
    if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
        return f"no answer within {CONNECT_SECONDS:g} s"
    return str(error).rpartition(">: ")[2] or str(error)
