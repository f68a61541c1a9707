"""Runs work in one of several processes, such as pytest-xdist's workers, while the others wait for the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from envkit.base.errors import SuiteError
from envkit.base.paths import make_folder, write_private

SECONDS = 60.0
"""Maximum seconds for which the other processes wait."""


def once(folder: Path, name: str, work: Callable[[], str], seconds: float = SECONDS) -> str:
    """Return the result of `work`. Only the first of the processes that share `folder` runs `work`.

    It also stores a failure, so that twelve workers do not repeat the failing work twelve times. If the process that
    runs `work` is killed, the kernel releases the lock and the next process runs `work`. Raises `SuiteError` if `work`
    failed in another process, or takes longer than `seconds` there. Raises errors of `work` in this process unchanged.
    """
    from filelock import FileLock, Timeout

    make_folder(folder)
    done, failed = folder / f"{name}.done", folder / f"{name}.failed"
    try:
        with FileLock(str(folder / f"{name}.lock"), timeout=seconds, mode=0o600):
            if failed.exists():
                raise SuiteError(f"{name}: failed in another worker: {failed.read_text()}")
            if not done.exists():
                write_private(done, _worked(work, failed))
            return done.read_text()
    except Timeout as error:
        raise SuiteError(f"{name}: another worker has been preparing it for {seconds:g} s") from error


def _worked(work: Callable[[], str], failed: Path) -> str:
    try:
        return work()
    except Exception as error:
        write_private(failed, f"{type(error).__name__}: {error}")
        raise
