"""The lock of an environment. Every command that changes the environment holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from envkit.base.errors import EnvironmentFailed
from envkit.base.events import Stream
from envkit.base.paths import Paths, make_folder
from envkit.base.waiting import Cancel, until


@contextmanager
def locked(paths: Paths, seconds: float, stream: Stream, cancel: Cancel) -> Iterator[None]:
    """Hold the lock of the environment, so that no other envkit of this machine changes it.

    The kernel frees the lock when the process that holds it ends. If another envkit holds the lock, this function
    reports that and waits at most `seconds`. Then it raises `EnvironmentFailed`.
    """
    from filelock import FileLock, Timeout

    make_folder(paths.lock.parent)
    lock = FileLock(str(paths.lock), mode=0o600)
    refused = 0

    def attempt() -> str | None:
        nonlocal refused
        try:
            lock.acquire(timeout=0)
            return None
        except Timeout:
            refused += 1
            if refused == 2:  # the first time, a `list` may be checking the lock
                stream.note(f"another envkit is working on environment {paths.name}; waiting for it to finish")
            return "the lock is held"

    try:
        until(attempt, what=f"the lock of environment {paths.name}", seconds=seconds, cancel=cancel)
    except EnvironmentFailed as error:
        error.hint = f"another envkit still works on this environment; its lock is {paths.lock}"
        raise
    try:
        if paths.runs.exists():
            from envkit.watch.orphans import end_lost_commands

            if ended := end_lost_commands(paths):
                stream.note(f"ended {len(ended)} processes of a command whose `run` was killed together with its watch")
        yield
    finally:
        lock.release()
