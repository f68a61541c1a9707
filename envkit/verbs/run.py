"""`run -- COMMAND`: up if needed, the command with the variables set, its exit code, and down what was brought up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from envkit.errors import UsageError

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def child(argv: Sequence[str], environ: Mapping[str, str], variables: Mapping[str, str]) -> int:
    """Run the command on this terminal with the variables set, pass signals on; its exit code, 128+N on signal N.

    Raises `UsageError` when it cannot be started.
    """
    try:
        process = subprocess.Popen(list(argv), env={**environ, **variables})
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot run {argv[0]}: {error}", hint="is it installed and on PATH?") from error
    with _forwarding(process):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]):  # type: ignore[no-untyped-def]
    """While it runs, the wrapper does not die of signals: it hands them on."""

    def hand_on(signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGINT and from_terminal():
            return  # the terminal has sent it to the whole foreground group already
        if process.poll() is None:
            process.send_signal(signum)

    before = {signum: signal.signal(signum, hand_on) for signum in FORWARDED}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def from_terminal() -> bool:
    """Whether Ctrl-C of a terminal reaches this process, and its children with it."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
