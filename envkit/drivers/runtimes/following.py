"""Follows a file that is still being written, line by line, and splits a stream of pieces into lines."""

from __future__ import annotations

import codecs
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

LOOK = 0.1
"""The seconds between two reads of a file that does not grow."""

STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
"""The timestamp that engines write before each piece of a log. A piece is a line; Docker divides a line of more than
16 KiB into several pieces."""


def lines_of(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield whole lines from pieces of any size; the last line need not end with a newline."""
    decode, rest = codecs.getincrementaldecoder("utf-8")("replace").decode, ""
    for piece in pieces:
        rest += decode(piece)
        *whole, rest = rest.split("\n")
        yield from (line.removesuffix("\r") for line in whole)
    if rest:
        yield rest


@dataclass
class Place:
    """The position in a log after a read, so that the next read can continue there. A new `Place` is the start."""

    moment: int = 0
    """The timestamp of the last piece in nanoseconds since 1970; 0 if pieces have no timestamps. Podman writes seconds
without a fraction."""
    count: int = 0
    """The number of pieces with the timestamp `moment` that were read."""
    inode: int = -1
    offset: int = 0
    """The position in the file `inode`, in bytes."""


def unread(pieces: Iterable[bytes], place: Place) -> Iterator[tuple[bytes, bytes]]:
    """Yield the timestamp and the text of each piece after `place`, and update `place`.

    The stream of a stopped container sometimes ends only after the container's restart. A caller that continued from
    the time of this end would lose the output since the restart, so `place` has the timestamp of the last piece.
    """
    before, known = place.moment, place.count
    for piece in pieces:
        moment, length = moment_of(piece)
        if moment and moment <= before and (known or moment < before):
            known -= moment == before
            continue
        if moment and moment >= place.moment:
            place.moment, place.count = moment, place.count + 1 if moment == place.moment else 1
        yield piece[:length], piece[length:]


def moment_of(piece: bytes) -> tuple[int, int]:
    """Return the timestamp at the start of a piece in nanoseconds since 1970, and the length of its text in bytes.

    Returns two zeros for a piece without a timestamp.
    """
    head = STAMP.match(piece)
    if not head:
        return 0, 0
    second, fraction, zone = (part.decode() for part in head.groups(b""))
    return int(datetime.fromisoformat(second + zone).timestamp()) * 10**9 + int(fraction.ljust(9, "0")), head.end()


def growing(
    path: Path, goes_on: Callable[[], bool], tail: int | None = None, place: Place | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[str]:  # fmt: skip
    """Yield the file's last `tail` lines (all if None) and each later line, until `goes_on` returns false.

    If `place` is not new, continues from there instead. If a new file replaces the file under the same name, this reads
    the new file from its beginning.
    """
    place = place or Place()
    while True:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        with file:
            now = os.fstat(file.fileno())
            if place.inode == -1 and tail is not None:
                for line in deque(file, maxlen=tail) if tail else ():
                    yield line.decode(errors="replace").rstrip("\r\n")
                file.seek(0, os.SEEK_END)
            elif place.inode == now.st_ino and place.offset <= now.st_size:
                file.seek(place.offset)
            place.inode = now.st_ino
            yield from lines_of(_pieces(file.read, _while(path, now.st_ino, goes_on), sleep))
            place.offset = file.tell()
        if _is(path, place.inode):
            return


def _pieces(
    read: Callable[[int], bytes], goes_on: Callable[[], bool], sleep: Callable[[float], None]
) -> Iterator[bytes]:
    """Yield the pieces that `read` returns, until `goes_on` returns false and `read` returns nothing more."""
    while True:
        last = not goes_on()
        while piece := read(65536):
            yield piece
        if last:
            return
        sleep(LOOK)


def _while(path: Path, inode: int, goes_on: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: _is(path, inode) and goes_on()


def _is(path: Path, inode: int) -> bool:
    """Return whether the path leads to the file with that inode, or to no file."""
    try:
        return path.stat().st_ino == inode
    except FileNotFoundError:
        return True
