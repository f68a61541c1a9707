"""File locks. A wait for a lock has a time limit and stops when cancelled.

The kernel releases a lock when the process that holds it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envkit.base.waiting import Cancel


@contextmanager
def held(path: Path, what: str, report: Callable[[str], None], cancel: Cancel, seconds: float) -> Iterator[None]:
    """Hold the lock file at `path` while the `with` block runs; messages about the wait contain `what`.

    Raises `NotReady` if another process holds the lock for longer than `seconds`, `Cancelled` and `OSError`.
    """
    from filelock import FileLock, Timeout

    from envkit.base.waiting import until

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, mode=0o600)

    def attempt() -> str | None:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return f"another envkit is fetching {what}: waiting for it"
        return None

    until(attempt, what=f"the lock {path}", seconds=seconds, cancel=cancel, progress=report)
    try:
        yield
    finally:
        lock.release()
