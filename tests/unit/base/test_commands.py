"""Tests of the programs that envkit runs: their output, their deadline, and the end of their whole process group."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from envkit.base import commands
from envkit.base.commands import CommandFailed, run
from envkit.base.errors import Cancelled, NotReady, ToolMissing
from envkit.base.waiting import Cancel

SLEEPERS = "sleep 300 & echo $! > child; echo begun; wait"
"""A shell that starts a child; only a signal to the process group ends that child."""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def gone(pid: int, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def child_of(folder: Path) -> int:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        text = (folder / "child").read_text() if (folder / "child").exists() else ""
        if text.strip():
            return int(text)
        time.sleep(0.02)
    raise AssertionError("the shell did not start its child")


def test_output_of_both_streams_and_code() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2"], seconds=20)

    assert (done.code, done.argv[0]) == (0, "sh")
    assert sorted(done.output.splitlines()) == ["err", "out"]


def test_words_are_words() -> None:
    words = ["a  b", "$HOME", "*", ";", "'", "ü", ""]

    done = run(["printf", "%s|", *words], seconds=20)

    assert done.output == "|".join(words) + "|"


def test_a_failure_carries_command_code_and_output() -> None:
    with pytest.raises(CommandFailed, match="ended with 3") as caught:
        run(["sh", "-c", "echo why; exit 3"], seconds=20)

    assert (caught.value.code, caught.value.output, caught.value.detail) == (3, "why\n", "why\n")
    assert shlex.join(["sh", "-c", "echo why; exit 3"]) in caught.value.message
    assert run(["sh", "-c", "exit 3"], seconds=20, check=False).code == 3


def test_a_death_by_signal_has_its_number() -> None:
    assert run(["sh", "-c", "kill -9 $$"], seconds=20, check=False).code == -signal.SIGKILL


def test_lines_are_told_as_they_come_each_once_even_when_they_are_no_text() -> None:
    lines: list[str] = []
    code = """if True:
        import sys, time
        for n in range(50):
            sys.stdout.buffer.write(b'\\xff\\xfe n%d\\n' % n)
            sys.stdout.flush()
            time.sleep(0.01)
        print('end')
    """

    run(python(code), seconds=20, on_line=lines.append)

    assert [line.partition(" ")[2] for line in lines[:-1]] == [f"n{n}" for n in range(50)]
    assert lines[-1] == "end"


def test_a_last_line_without_its_end_is_told_too() -> None:
    lines: list[str] = []

    run(["printf", "one\ntwo"], seconds=20, on_line=lines.append)

    assert lines == ["one", "two"]


def test_lines_come_while_the_program_runs(tmp_path: Path) -> None:
    """The program ends only after the test has received its first line."""
    script = "echo first; while [ ! -e heard ]; do sleep 0.02; done; echo second"
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        (tmp_path / "heard").touch()

    run(["sh", "-c", script], seconds=20, cwd=str(tmp_path), on_line=hear)

    assert lines == ["first", "second"]


def test_environment_and_folder_and_marker(tmp_path: Path) -> None:
    argv = ["sh", "-c", 'echo "$A $ENVKIT_ENV ${HOME-unset}"; pwd -P']

    done = run(
        argv, seconds=20, env={"A": "1", "PATH": os.environ["PATH"]}, cwd=str(tmp_path), marker={"ENVKIT_ENV": "t"}
    )

    assert done.output.splitlines() == ["1 t unset", str(tmp_path.resolve())]


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ToolMissing, match="no-such-program is not installed"):
        run(["no-such-program"], seconds=5)


def test_a_program_that_cannot_be_started_is_told_with_the_reason(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")

    with pytest.raises(ToolMissing, match="cannot be started"):
        run([str(plain)], seconds=5)
    with pytest.raises(ToolMissing, match="no-such-folder"):
        run(["true"], seconds=5, cwd=str(tmp_path / "no-such-folder"))


def test_the_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    began = time.monotonic()

    with pytest.raises(NotReady, match=r"to end: not within 1 s"):
        run(["sh", "-c", SLEEPERS], seconds=1, cwd=str(tmp_path))

    assert time.monotonic() - began < 9
    assert gone(child_of(tmp_path))


def test_cancel_ends_the_whole_group_at_once(tmp_path: Path) -> None:
    cancel = Cancel()

    def stop() -> None:
        child_of(tmp_path)
        cancel.set(15)

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(Cancelled):
        run(["sh", "-c", SLEEPERS], seconds=60, cwd=str(tmp_path), cancel=cancel)
    stopper.join()

    assert gone(child_of(tmp_path))


def test_a_child_that_will_not_stop_is_killed_with_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent of this child ends on SIGTERM and would leave the child running."""
    monkeypatch.setattr(commands, "GRACE", 0.5)
    stubborn = "(trap '' TERM; echo $$ > /dev/null; while :; do sleep 0.1; done) & echo $! > child; wait"
    process = subprocess.Popen(["sh", "-c", stubborn], cwd=tmp_path, start_new_session=True)
    child = child_of(tmp_path)

    commands.end_group(process)

    assert gone(child)
    assert process.poll() is not None


def test_a_program_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "GRACE", 0.3)
    process = subprocess.Popen(["sh", "-c", "trap '' TERM; echo x; while :; do sleep 0.1; done"],
                               stdout=subprocess.PIPE, start_new_session=True)  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()

    commands.end_group(process)

    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
