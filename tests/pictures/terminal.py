"""A program on a real terminal (a pty) of a given width: its output and its exit code."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.pictures.screen import Screen


@dataclass(frozen=True)
class Shown:
    """The exit code and the output of a program on a terminal."""

    code: int
    raw: str

    @property
    def screen(self) -> Screen:
        """Return the final screen; lines that a real terminal would wrap stay whole."""
        return Screen().feed(self.raw)


def at_terminal(
    argv: Sequence[str], environ: Mapping[str, str], cwd: Path, columns: int = 100, seconds: float = 240.0
) -> Shown:  # fmt: skip
    """Run a program to its end and return its output; raise `TimeoutError` after the deadline."""
    main, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    clean = {key: value for key, value in environ.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        argv, stdin=child, stdout=child, stderr=child, cwd=cwd, env={"TERM": "xterm-256color", **clean},
        start_new_session=True,
    )  # fmt: skip
    os.close(child)
    try:
        raw = _read(main, process, time.monotonic() + seconds)
    finally:
        os.close(main)
    return Shown(process.wait(30), raw.decode(errors="replace"))


def _read(main: int, process: subprocess.Popen[bytes], deadline: float) -> bytes:
    raw = b""
    while True:
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise TimeoutError(f"{process.args!r} came to no end; it showed:\n{raw.decode(errors='replace')}")
        if not select.select([main], [], [], 0.2)[0]:
            if process.poll() is not None:
                return raw
            continue
        try:
            data = os.read(main, 1 << 16)
        except OSError:  # the last writer has closed the terminal
            return raw
        if not data:
            return raw
        raw += data
