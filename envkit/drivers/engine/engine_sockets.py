"""Gives each call of the Docker SDK a deadline, so that an engine without an answer cannot block the call for ever.

The client's time limit applies to the whole call. For long streams (pulls, builds, a followed log) it applies to each
wait for data. A signal immediately ends a call that only reads data, if `Cancel.cutting` allows that. A call that
changes something gets `GRACE` seconds more, because envkit needs the result of the call to undo the change.
"""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any

from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

from envkit.base.deadline import Deadline, dial_unix
from envkit.base.deadline_urllib3 import Timed, bounded

if TYPE_CHECKING:
    from docker import APIClient

    from envkit.base.waiting import Cancel

LASTING = re.compile(r"/(images/(create|load|get|pull|[^?]*/push)|build|events)\b|[?&]follow=(1|[Tt]rue)\b")
"""Matches the paths of calls that return a stream of unlimited duration."""

GRACE = 5.0
"""Seconds that a modifying call can still take after a signal. Creating and starting a container takes one second."""

_NOW = threading.local()


class _Heard:
    """Applies a `Cancel` to one call, after the call's extra time (`GRACE`, or 0 for a call that only reads)."""

    def __init__(self, cancel: Cancel, grace: float) -> None:
        self._cancel, self._grace, self._since = cancel, grace, 0.0

    def check(self) -> None:
        """Raise the error of `Cancel.check` if the call is cancelled and its extra time is over."""
        if not self._cancel.cuts or not self._cancel.event.is_set():
            return
        if self._grace:
            self._since = self._since or time.monotonic()
            if not self._cancel.signum or time.monotonic() - self._since < self._grace:
                return
        self._cancel.check()


def _begin() -> Deadline:
    deadline: Deadline = getattr(_NOW, "deadline", None) or Deadline(60.0)
    return deadline


def _deadline(request: Any, timeout: Any, cancel: Cancel | None) -> Deadline:
    seconds = timeout[1] if isinstance(timeout, tuple) else timeout
    heard: Any = cancel and _Heard(cancel, 0.0 if request.method in ("GET", "HEAD") else GRACE)
    if LASTING.search(request.path_url):
        return Deadline(None, heard, idle=seconds)
    return Deadline(seconds, heard)


class _Connection(Timed, UnixHTTPConnection):
    begin = staticmethod(_begin)

    def connect(self) -> None:
        self.deadline = self.begin()
        self.sock = dial_unix(self.unix_socket, self.deadline)


class _Pool(UnixHTTPConnectionPool):
    def _new_conn(self) -> Any:
        seconds: Any = self.timeout
        return _Connection(self.base_url, self.socket_path, seconds)


class _UnixAdapter(UnixHTTPAdapter):
    def get_connection(self, url: Any, proxies: Any = None) -> _Pool:  # noqa: ARG002  the SDK's signature
        with self.pools.lock:
            pool = self.pools.get(url)
            if pool is None:
                pool = self.pools[url] = _Pool(url, self.socket_path, self.timeout, maxsize=self.max_pool_size)
        found: _Pool = pool
        return found


def keep_time(api: Any, cancel: Cancel | None = None) -> APIClient:
    """Change the client so that each call has a deadline, and return it; its named pipes and ssh stay unchanged."""
    if isinstance(getattr(api, "_custom_adapter", None), UnixHTTPAdapter):
        old: Any = api._custom_adapter
        new = _UnixAdapter(f"http+unix://{old.socket_path}", old.timeout, max_pool_size=old.max_pool_size)
        api._custom_adapter = new
        api.mount("http+docker://", new)
    for adapter in {id(adapter): adapter for adapter in api.adapters.values()}.values():
        _timed(adapter, cancel)
    kept: APIClient = api
    return kept


def _timed(adapter: Any, cancel: Cancel | None) -> None:
    if hasattr(adapter, "poolmanager") and not isinstance(adapter, UnixHTTPAdapter):
        bounded(adapter.poolmanager, _begin)
    send = adapter.send

    def timed(request: Any, *arguments: Any, timeout: Any = None, **more: Any) -> Any:
        _NOW.deadline = _deadline(request, timeout, cancel)
        try:
            return send(request, *arguments, timeout=timeout, **more)
        finally:
            _NOW.deadline = None

    adapter.send = timed
