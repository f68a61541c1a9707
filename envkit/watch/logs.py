"""Copies services' logs into the folder of a run while they grow. A long log keeps its beginning and its end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

from envkit.base.paths import append_private

HEAD = 1 << 20
TAIL = 2 << 20
"""Numbers of bytes that are kept of a long log: `HEAD` from its beginning, `TAIL` from its end."""


class Bounded:
    """A file of at most about `head` + 2 * `tail` bytes, which can be read at any moment."""

    def __init__(self, path: Path, head: int = HEAD, tail: int = TAIL) -> None:
        self._path, self._head, self._tail = path, head, tail
        self._file: IO[bytes] = os.fdopen(append_private(path), "ab", buffering=0)
        self._size = path.stat().st_size
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append the data. If the file becomes too long, remove its middle."""
        with self._lock:
            if self._file.closed:
                return
            self._size += self._file.write(data)
            if self._size > self._head + 2 * self._tail:
                self._shorten()

    def close(self) -> None:
        """Close the file; later writes are ignored."""
        with self._lock:
            self._file.close()

    def _shorten(self) -> None:
        whole = self._path.read_bytes()
        first, last = whole[: self._head], whole[-self._tail :]
        first = first[: first.rfind(b"\n") + 1] or first
        last = last[last.find(b"\n") + 1 :] or last
        note = b"... (%d bytes are left out here) ...\n" % (len(whole) - len(first) - len(last))
        beside = self._path.with_name(f".{self._path.name}.new")
        beside.unlink(missing_ok=True)
        with os.fdopen(append_private(beside), "wb") as file:
            file.write(first + note + last)
        beside.replace(self._path)
        self._file.close()
        self._file = os.fdopen(append_private(self._path), "ab", buffering=0)
        self._size = self._path.stat().st_size


class Tail:
    """Copies what is appended to a growing file. It reads a replaced or truncated file from its beginning."""

    def __init__(self, source: Path, sink: Bounded) -> None:
        self._source, self._sink = source, sink
        self._file: IO[bytes] | None = None
        self._node = 0

    def __call__(self) -> None:
        """Copy the new part of the source. A call without new data is cheap."""
        with suppress(OSError):
            if self._file is not None:
                self._copy()
            now = self._source.stat()
            if self._file is None or now.st_ino != self._node or now.st_size < self._file.tell():
                self.close()
                self._file = self._source.open("rb")
                self._node = now.st_ino
                self._copy()

    def close(self) -> None:
        """Close the source."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _copy(self) -> None:
        while self._file is not None and (data := self._file.read(1 << 16)):
            self._sink.write(data)


class Pump:
    """A thread that copies a stream into a file until the stream or the run ends."""

    def __init__(self, name: str, follow: Callable[[], Iterable[bytes]], sink: Bounded) -> None:
        self._follow, self._sink = follow, sink
        self._thread = threading.Thread(target=self._run, name=f"log-{name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(Exception):  # when a container ends, its stream can raise any error
            for data in self._follow():
                self._sink.write(data)
