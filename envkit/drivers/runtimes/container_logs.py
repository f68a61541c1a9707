"""Follows a container's output, even after restarts: yields each piece exactly once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from envkit.base.errors import EngineError
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.engine.sdk import connect, translated
from envkit.drivers.runtimes.following import Place, unread

if TYPE_CHECKING:
    from docker import APIClient
    from docker.types import CancellableStream

SILENCE = 7 * 86400
"""The timeout in seconds while envkit follows the log of a service that writes nothing."""

RECHECK = 1.0
"""The seconds after the start of a stream from Podman until envkit compares the stream with the log."""

IN_TIME = 0.3
"""The seconds that a stream has to return the pieces that the check has found in the log."""


def pieces(
    endpoint: Endpoint, container: str, doing: str, place: Place, tail: int | None = None
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the timestamp and the text of each piece after `place`, until the container ends.

    If `place` is new, yields only the last `tail` pieces of the existing log (all if None).
    """
    with translated(doing):
        api = connect(endpoint, SILENCE)
        try:
            if tail is not None and not place.moment:
                yield from deque(_there(api, container, place), maxlen=tail)
            behind = True
            while behind:
                stream = api.logs(container, stream=True, follow=True, timestamps=True, since=_since(place))
                recheck = _Recheck(endpoint, container, place, stream) if endpoint.engine == "podman" else None
                try:
                    yield from unread(stream, place)
                finally:
                    behind = recheck is not None and recheck.over()
        finally:
            api.close()


class _Recheck:
    """Compares Podman's stream with the log a second after the stream began; closes the stream if it lacks a piece.

    Podman 4.3 reads a log to its end and then starts to watch it. A line that is written between these two steps
    appears only with the next line. After a stream is closed, `pieces` opens a new one.
    """

    def __init__(self, endpoint: Endpoint, container: str, place: Place, stream: CancellableStream[bytes]) -> None:
        self._endpoint, self._container, self._place, self._stream = endpoint, container, place, stream
        self._behind, self._ended = False, threading.Event()
        threading.Thread(target=self._run, daemon=True, name=f"recheck {container[:12]}").start()

    def over(self) -> bool:
        """Stop the check after the stream's end; return whether it closed the stream because a piece was missing."""
        self._ended.set()
        return self._behind

    def _run(self) -> None:
        if self._ended.wait(RECHECK):
            return
        try:
            with translated("reading the end of a log"):
                api = connect(self._endpoint)
                newest = replace(self._place)
                deque(_there(api, self._container, newest), maxlen=0)
                api.close()
        except EngineError:
            return  # the stream itself raises the error
        time.sleep(IN_TIME)
        behind = (newest.moment, newest.count) > (self._place.moment, self._place.count)
        if behind and not self._ended.is_set():
            self._behind = True
            self._stream.close()


def _there(api: APIClient, container: str, place: Place) -> Iterator[tuple[bytes, bytes]]:
    """Yield the pieces after `place` that are in the log now, without waiting for more."""
    return unread(api.logs(container, stream=True, follow=False, timestamps=True, since=_since(place)), place)


def _since(place: Place) -> int | None:
    return place.moment // 10**9 or None
