"""Work that one of several processes does while the others wait for it: pytest-xdist's workers, above all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from envkit.base.errors import SuiteError
from envkit.base.paths import make_folder, write_private

SECONDS = 60.0
"""That the others wait at the most."""


def once(folder: Path, name: str, work: Callable[[], str], seconds: float = SECONDS) -> str:
    """The result of `work`, done by whoever comes first among those who share `folder`.

    A failure is remembered as well, so that twelve workers do not wait for it twelve times. The lock dies with its
    holder: the next one then does the work. Raises `SuiteError`.
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
