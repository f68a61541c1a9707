"""Ends processes: sends a stop signal, waits for the grace period, sends SIGKILL, and waits until all have ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from envkit.base.waiting import within
from envkit.drivers.runtimes.marked import session
from envkit.drivers.runtimes.process_table import alive
from envkit.drivers.runtimes.spawning import launch_of

FOUND = 5.0
"""The longest wait in seconds until killed processes have ended."""

TIDY = 3.0
"""The shortest grace period in seconds for a service with another stop signal than SIGTERM, such as PostgreSQL: a
killed PostgreSQL leaves shared memory behind."""


def stop_of(folder: Path, grace: float) -> tuple[signal.Signals, float]:
    """Return the stop signal of the service in `folder`, and the seconds that the service has to end after it.

    Returns SIGTERM and `grace` if the stored launch cannot be read.
    """
    try:
        launch = launch_of(folder)
        stop = signal.Signals[f"SIG{launch.stop_signal}"]
    except (OSError, ValueError, KeyError, TypeError):
        return signal.SIGTERM, grace
    return stop, min(grace if stop == signal.SIGTERM else max(grace, TIDY), launch.patience)


def end(
    leader: int, began: float | None, stop: signal.Signals, grace: float,
    find: Callable[[], set[int]], in_a_hurry: Collection[int],
) -> bool:  # fmt: skip
    """End every process that `find` returns.

    Sends `stop` to the leader's session and, after `grace` seconds, SIGKILL to all processes that still run. If `grace`
    is 0, sends SIGKILL at once. Processes in `in_a_hurry` get SIGQUIT before `stop`: PostgreSQL then ends without
    writing data, which envkit removes anyway. Returns False if a killed process still exists after `FOUND` seconds.
    """
    everything = find()
    if grace:
        send(everything & {*in_a_hurry}, signal.SIGQUIT)
        send(session(leader, began), stop)
        send(everything, signal.SIGCONT)  # a stopped process handles no other signal
        wait_gone(everything, grace)
    deadline = time.monotonic() + FOUND
    while everything := {pid for pid in everything if alive(pid)}:
        send(everything, signal.SIGKILL)
        if not wait_gone(everything, FOUND) or time.monotonic() > deadline:
            return False
        everything = find()  # processes that started in the meantime
    return True


def send(pids: Iterable[int], signum: int) -> None:
    """Send the signal to each process that still exists."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


def wait_gone(pids: Iterable[int], seconds: float) -> bool:
    """Wait until all processes have ended; return False if some still run after `seconds`."""
    return within(seconds, lambda: not any(alive(pid) for pid in pids))
