"""File locks that end with the process that holds them; a wait has a time limit and stops when cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envkit.base.waiting import Cancel


@contextmanager
def held(path: Path, what: str, report: Callable[[str], None], cancel: Cancel, seconds: float) -> Iterator[None]:
    """Hold the lock of a file; messages about the wait name `what`. Raises `NotReady`, `Cancelled`, `OSError`."""
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
