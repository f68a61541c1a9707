"""Run programs from argv lists, with a deadline and cancellation. Errors have the command, its output and its code."""

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
"""Maximum number of seconds that child processes can run after the program itself has ended."""


class CommandFailed(EnvironmentFailed):
    """A program ended with an exit code other than 0; the error has its argv, code and output."""

    def __init__(self, argv: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"{shlex.join(argv)} ended with {code}", detail=output[-8000:])
        self.argv, self.code, self.output = tuple(argv), code, output


@dataclass(frozen=True)
class Finished:
    """The result of a program that ended: its argv, exit code, and output."""

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
    """Run the program to its end and return the result; `output` has stdout and stderr together.

    `on_line` receives each line as soon as it is complete. The function adds the variables in `marker` to the
    program's environment. When the wait is cancelled or the deadline passes, the function ends the whole process group,
    with SIGKILL after `grace` seconds.
    Raises `CommandFailed` for an exit code other than 0 (if `check` is true), `NotReady` after `seconds`,
    `Cancelled`, and `ToolMissing` if the program cannot be started.
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
    """Send SIGTERM to a running program and its children, and SIGKILL after `grace` seconds."""
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
    """End children that outlived the program. They got SIGTERM already and get SIGKILL within `ORPHAN_GRACE` s."""
    within(min(grace, ORPHAN_GRACE), lambda: not _signal_group(group, 0), every=0.02)
    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, signum: int) -> bool:
    """Send the signal to the group; return whether the group still had a process that received it."""
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):  # macOS raises PermissionError for a group of zombie processes
        return False
    return True
