"""`run -- COMMAND`: the command on this terminal, with the variables set; its exit code and its signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from types import FrameType
from typing import Any

from envkit.base.errors import UsageError

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

CANCELLING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals by which CI, or a user, wants all of it to end."""

CHILD_GRACE = 3.0
"""Seconds that the command has to end once it is cancelled: CI kills after about ten, and the environment goes too."""


@dataclass
class Cancelled:
    """That the run was asked to end: by which signal, since when, and whether it was asked twice."""

    signum: int = 0
    since: float = 0.0
    event: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)
    interrupted: bool = False
    """Ctrl-C on the terminal, which the command heard too: what it means is the command's business."""

    def heard(self, signum: int) -> None:
        """One more signal."""
        if self.signum:
            self.hurry.set()
        else:
            self.signum, self.since = signum, time.monotonic()
            self.event.set()


@dataclass(frozen=True)
class Ended:
    """How the command ended: its exit code, 128+N on signal N, and the seconds it took."""

    code: int
    seconds: float


def child(
    argv: Sequence[str],
    environ: Mapping[str, str],
    variables: Mapping[str, str],
    cancelled: Cancelled | None = None,
    end: Callable[[], object] | None = None,
    check: Callable[[], object] = lambda: None,
) -> Ended:
    """Run the command on this terminal with the variables set, and pass signals on.

    Cancelled from elsewhere than its terminal, it has `CHILD_GRACE` seconds; then, or at a second signal, `end` is
    called, which ends everything of it. Raises `UsageError` when it cannot be started, and what `check` raises for a
    signal that came before signals were the command's.
    """
    cancelled = cancelled or Cancelled()
    began = time.monotonic()
    with _forwarding(cancelled) as begun:
        check()
        try:
            process = subprocess.Popen(list(argv), env={**environ, **variables})
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot run {argv[0]}: {error}", hint="is it installed and on PATH?") from error
        over = threading.Event()
        threading.Thread(target=_insist, args=(process, cancelled, over, end), daemon=True, name="insist").start()
        begun(process)
        code = process.wait()
        over.set()
    if code == -signal.SIGKILL and cancelled.signum:  # ours: what was asked for is what is told
        code = -cancelled.signum
    return Ended(code if code >= 0 else 128 - code, time.monotonic() - began)


def _insist(
    process: subprocess.Popen[bytes], cancelled: Cancelled, over: threading.Event, end: Callable[[], object] | None
) -> None:
    """End a command that was cancelled and does not end by itself."""
    while not cancelled.event.wait(0.2):
        if over.is_set():
            return
    deadline = cancelled.since + CHILD_GRACE
    while not over.wait(0.05):
        if time.monotonic() > deadline or cancelled.hurry.is_set():
            process.kill()
            if end:
                end()
            return


@contextmanager
def _forwarding(cancelled: Cancelled) -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """The wrapper does not die of signals: it hands them on to the child, once that has begun."""
    running: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def begun(process: subprocess.Popen[bytes]) -> None:
        running.append(process)
        for signum in early:
            process.send_signal(signum)

    def hand_on(signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGINT and from_terminal():
            cancelled.interrupted = True
            return  # the terminal has sent it to the whole foreground group already; the command decides what it means
        if signum in CANCELLING:
            cancelled.heard(signum)
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


@dataclass(frozen=True)
class Row:
    """One run of the command, in the table at the end."""

    number: int
    result: str
    code: int
    seconds: float
    reason: str = ""

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}
