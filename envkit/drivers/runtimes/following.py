"""A file that is still being written to, line by line; lines of a stream that comes in pieces."""

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
"""Seconds between two looks at a file that does not grow."""

STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
"""What engines put before each piece of a log; Docker has cut lines of more than 16 KiB into several."""


def lines_of(pieces: Iterable[bytes]) -> Iterator[str]:
    """Whole lines, whatever the pieces are cut into; the last one also without its end."""
    decode, rest = codecs.getincrementaldecoder("utf-8")("replace").decode, ""
    for piece in pieces:
        rest += decode(piece)
        *whole, rest = rest.split("\n")
        yield from (line.removesuffix("\r") for line in whole)
    if rest:
        yield rest


@dataclass
class Place:
    """How far a log was read, for a reading that goes on there; as new, nothing was."""

    moment: int = 0
    """Of the last piece, in nanoseconds since 1970, where an engine stamps them. Podman's are whole seconds."""
    count: int = 0
    """Pieces of that moment."""
    inode: int = -1
    offset: int = 0
    """Of a file, in bytes."""


def unread(pieces: Iterable[bytes], place: Place) -> Iterator[tuple[bytes, bytes]]:
    """Stamp and text of an engine's pieces, without those that were read before.

    A stream may end only when the container is there again: by the clock, what it wrote meanwhile would be lost.
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
    """Nanoseconds since 1970 of the stamp that heads a piece, and its length; nothing and nothing without one."""
    head = STAMP.match(piece)
    if not head:
        return 0, 0
    second, fraction, zone = (part.decode() for part in head.groups(b""))
    return int(datetime.fromisoformat(second + zone).timestamp()) * 10**9 + int(fraction.ljust(9, "0")), head.end()


def growing(
    path: Path, goes_on: Callable[[], bool], tail: int | None = None, place: Place | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[str]:  # fmt: skip
    """The file's last `tail` lines and everything that comes after, until nobody writes to it any more.

    A file that was replaced by another of its name is read from its beginning.
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
    """What is read, until there is no more after nobody writes."""
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
    """Whether the name still stands for that file; a name that is gone stands for nothing new."""
    try:
        return path.stat().st_ino == inode
    except FileNotFoundError:
        return True
