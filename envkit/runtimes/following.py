"""A file that is still being written to, line by line; lines of a stream that comes in pieces."""

from __future__ import annotations

import codecs
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

LOOK = 0.1
"""Seconds between two looks at a file that does not grow."""


def lines_of(pieces: Iterable[bytes]) -> Iterator[str]:
    """Whole lines, whatever the pieces are cut into; the last one also without its end."""
    decode, rest = codecs.getincrementaldecoder("utf-8")("replace").decode, ""
    for piece in pieces:
        rest += decode(piece)
        *whole, rest = rest.split("\n")
        yield from (line.removesuffix("\r") for line in whole)
    if rest:
        yield rest


def growing(
    path: Path, goes_on: Callable[[], bool], tail: int | None = None, sleep: Callable[[float], None] = time.sleep
) -> Iterator[str]:
    """The file's last `tail` lines and everything that comes after, until nobody writes to it any more.

    A file that was replaced by another of its name is read from its beginning.
    """
    inode = -1
    while True:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        with file:
            fresh, inode = inode == -1, os.fstat(file.fileno()).st_ino
            if fresh and tail is not None:
                for line in deque(file, maxlen=tail) if tail else ():
                    yield line.decode(errors="replace").rstrip("\r\n")
                file.seek(0, os.SEEK_END)
            yield from lines_of(_pieces(file.read, _while(path, inode, goes_on), sleep))
        if _is(path, inode):
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
