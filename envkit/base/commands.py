"""Programs that envkit runs: argv lists, a deadline, cancellation, and errors that carry command, output and code."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from envkit.base.errors import EnvironmentFailed, ToolMissing
from envkit.base.waiting import Cancel, until, within

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL for a program that is stopped early."""


ORPHAN_GRACE = 1.0
"""Seconds that children get when the program itself has ended."""


class CommandFailed(EnvironmentFailed):
    """A program ended with a code other than 0; carries argv, code and its output."""

    def __init__(self, argv: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"{shlex.join(argv)} ended with {code}", detail=output[-8000:])
        self.argv, self.code, self.output = tuple(argv), code, output


@dataclass(frozen=True)
class Finished:
    """A program that ended."""

    argv: tuple[str, ...]
    code: int
    output: str


def run(
    argv: Sequence[str],
    *,
    seconds: float,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    cancel: Cancel | None = None,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
    marker: Mapping[str, str] | None = None,
    grace: float = GRACE,
) -> Finished:
    """Run to the end, stdout and stderr together; its whole process group is ended on cancel or deadline.

    Raises `CommandFailed` (with `check`), `NotReady` after `seconds`, `Cancelled`, `ToolMissing`.
    """
    environment = {**(os.environ if env is None else env), **(marker or {})}
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            process = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=environment, cwd=cwd, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            absent = isinstance(error, FileNotFoundError) and error.filename == argv[0]
            why = "is not installed or not on PATH" if absent else f"cannot be started: {error}"
            raise ToolMissing(f"{argv[0]} {why}") from error
        try:
            _wait(process, argv, seconds, cancel, output, on_line)
        finally:
            end_group(process, grace)
        output.seek(0)
        finished = Finished(tuple(argv), process.returncode, output.read())
    if check and finished.code != 0:
        raise CommandFailed(argv, finished.code, finished.output)
    return finished


def _wait(
    process: subprocess.Popen[bytes], argv: Sequence[str], seconds: float, cancel: Cancel | None,
    output: IO[str], on_line: Callable[[str], None] | None,
) -> None:  # fmt: skip
    read_to = 0

    def attempt() -> str | None:
        nonlocal read_to
        done = process.poll() is not None
        if on_line:
            raw = os.pread(output.fileno(), os.fstat(output.fileno()).st_size - read_to, read_to)
            whole = len(raw) if done else raw.rfind(b"\n") + 1
            read_to += whole
            for line in raw[:whole].decode(errors="replace").splitlines():
                on_line(line)
        return None if done else "still running"

    until(attempt, what=f"{shlex.join(argv)} to end", seconds=seconds, cancel=cancel, slowest=0.1)


def end_group(process: subprocess.Popen[bytes], grace: float = GRACE) -> None:
    """End the program and its children: SIGTERM, and SIGKILL after `grace` seconds."""
    if process.poll() is not None:
        return
    for signum in (signal.SIGTERM, signal.SIGKILL):
        _signal_group(process.pid, signum)
        try:
            process.wait(grace)
            break
        except subprocess.TimeoutExpired:
            continue
    _end_orphans(process.pid, grace)


def _end_orphans(group: int, grace: float) -> None:
    """Children that outlived the program: they have had SIGTERM with it, and get a moment more."""
    within(min(grace, ORPHAN_GRACE), lambda: not _signal_group(group, 0), every=0.02)
    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, signum: int) -> bool:
    """Whether anybody of the group was there to hear it."""
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):  # macOS answers so for a group of zombies
        return False
    return True
