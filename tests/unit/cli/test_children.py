"""Tests of signals to envkit, and of the child process of `run`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from envkit.base.errors import Cancelled, UsageError
from envkit.base.waiting import Cancel
from envkit.cli.context import signals
from envkit.operations.run import child


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_ask_to_stop_and_handlers_come_back(signum: signal.Signals) -> None:
    before, cancel = signal.getsignal(signum), Cancel()

    with signals(cancel):
        os.kill(os.getpid(), signum)
        with pytest.raises(Cancelled) as caught:
            cancel.sleep(10)

    assert caught.value.exit_code == 128 + signum
    assert signal.getsignal(signum) == before


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_the_childs_code_is_the_runs_code(script: str, code: int) -> None:
    assert child(["sh", "-c", script], os.environ, {}).code == code


def test_the_child_has_the_variables_and_its_words(tmp_path: Path) -> None:
    script = f'printf "%s|" "$A" "$1" "$2" > {tmp_path}/out'

    code = child(["sh", "-c", script, "sh", "a  b", "$X"], {"PATH": os.environ["PATH"], "A": "old"}, {"A": "new"}).code

    assert (code, (tmp_path / "out").read_text()) == (0, "new|a  b|$X|")


def test_a_signal_that_came_just_before_the_child_keeps_it_from_starting(tmp_path: Path) -> None:
    cancel = Cancel()
    cancel.set(signal.SIGTERM)
    with pytest.raises(Cancelled):
        child(["touch", str(tmp_path / "started")], os.environ, {}, check=cancel.check)
    assert not (tmp_path / "started").exists()


def test_a_signal_is_handed_on_to_the_child() -> None:
    script = "trap 'exit 9' USR1; kill -USR1 $PPID; while :; do sleep 0.02; done"

    assert child(["sh", "-c", script], os.environ, {}).code == 9


def test_a_command_that_cannot_be_started_is_a_usage_error(tmp_path: Path) -> None:
    for argv in (["no-such-program"], [str(tmp_path)], [""]):
        with pytest.raises(UsageError, match="cannot run"):
            child(argv, os.environ, {})
