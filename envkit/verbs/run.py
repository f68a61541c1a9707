"""`run -- COMMAND`: up if needed, the command with the variables set, its exit code, and down what was brought up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from envkit.errors import UsageError

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def child(argv: Sequence[str], environ: Mapping[str, str], variables: Mapping[str, str]) -> int:
    """Run the command on this terminal with the variables set, pass signals on; its exit code, 128+N on signal N.

    Raises `UsageError` when it cannot be started.
    """
    with _forwarding() as begun:
        try:
            process = subprocess.Popen(list(argv), env={**environ, **variables})
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot run {argv[0]}: {error}", hint="is it installed and on PATH?") from error
        begun(process)
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _forwarding() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """The wrapper does not die of signals: it hands them on to the child, once that has begun."""
    running: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def begun(process: subprocess.Popen[bytes]) -> None:
        running.append(process)
        for signum in early:
            process.send_signal(signum)

    def hand_on(signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGINT and from_terminal():
            return  # the terminal has sent it to the whole foreground group already
        if not running:
            early.append(signum)
        elif running[0].poll() is None:
            running[0].send_signal(signum)

    before = {signum: signal.signal(signum, hand_on) for signum in FORWARDED}
    try:
        yield begun
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def from_terminal() -> bool:
    """Whether Ctrl-C of a terminal reaches this process, and its children with it."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
