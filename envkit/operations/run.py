"""`run -- COMMAND`: run the command on this terminal with the variables set, forward signals, return its exit code."""

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
"""Signals with which CI or a user cancels the whole run."""

CHILD_GRACE = 3.0
"""Seconds that a cancelled command has to end.

CI kills a cancelled job after about ten seconds, and `run` must still remove the environment in that time.
"""


@dataclass
class Cancelled:
    """The signal that cancelled the run (0 if none did), its time, and whether a second signal came (`hurry`)."""

    signum: int = 0
    since: float = 0.0
    event: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)
    interrupted: bool = False
    """Whether the user pressed Ctrl-C. The terminal sends that signal to the command too, which decides when to end."""

    def heard(self, signum: int) -> None:
        """Record a signal: the first cancels the run, each later one sets `hurry`."""
        if self.signum:
            self.hurry.set()
        else:
            self.signum, self.since = signum, time.monotonic()
            self.event.set()


@dataclass(frozen=True)
class Ended:
    """How the command ended: its exit code, or 128+N if signal N ended it, and the seconds that it took."""

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
    """Run the command on this terminal with the variables set, pass signals on to it, and return how it ended.

    After a signal that does not come from its terminal, the command has `CHILD_GRACE` seconds to end. Then, or at a
    second signal, this function kills it and calls `end`, which ends all processes that the command started. Raises
    `UsageError` if the command cannot be started. `check` raises an error if a signal came earlier.
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
    if code == -signal.SIGKILL and cancelled.signum:  # envkit killed it: report the signal that cancelled the run
        code = -cancelled.signum
    return Ended(code if code >= 0 else 128 - code, time.monotonic() - began)


def _insist(
    process: subprocess.Popen[bytes], cancelled: Cancelled, over: threading.Event, end: Callable[[], object] | None
) -> None:
    """Kill the command if it was cancelled and does not end by itself."""
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
    """Pass signals on to the child process. A signal that comes before the child's start is passed on at the start.

    Inside the `with` block, these signals do not end this process.
    """
    running: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def begun(process: subprocess.Popen[bytes]) -> None:
        running.append(process)
        for signum in early:
            process.send_signal(signum)

    def hand_on(signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGINT and from_terminal():
            cancelled.interrupted = True
            return  # the terminal sends it to the command too, which decides whether to end
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
    """Return whether Ctrl-C, pressed in the terminal, reaches this process and its children."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Row:
    """One run of the command, as a row of the table that `run` prints at the end."""

    number: int
    result: str
    code: int
    seconds: float
    reason: str = ""

    def facts(self) -> dict[str, Any]:
        """Return the row as data for JSON output."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}
