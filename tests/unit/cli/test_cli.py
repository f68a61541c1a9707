"""Tests of the command line: flags that reach a command, its help, errors and exit codes."""

from __future__ import annotations

from typing import Any

import pytest

from envkit.base.errors import Cancelled, ConfigError, EngineError, EnvkitError, Fault, NotUp, UsageError
from envkit.cli.flags import Flags
from envkit.cli.main import run
from envkit.cli.options import flags_of
from envkit.cli.reporting import show as show_error
from envkit.cli.tasks import namespace
from tests.unit.cli.program import invoke, program

SEEN: list[tuple[Flags, dict[str, Any]]] = []


def note(flags: Flags, service: list[str], build: bool = False, tail: str | None = None) -> None:
    """Record the options of the call."""
    SEEN.append((flags, {"service": service, "build": build, "tail": tail}))


def test_flags_reach_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    SEEN.clear()
    argv = ["note", "-f", "a.yaml", "-p", "ci", "-o", "one", "--overlay", "two", "-n", "x", "-e", "podman", "--lane",
            "containers", "--port-offset", "100", "-s", "a.b=c=d", "--set", "e=", "--json", "--debug", "--build",
            "--service", "redis", "--tail", "7"]  # fmt: skip

    code, _, err = invoke(capsys, program(note), *argv)

    assert (code, err) == (0, "")
    ((flags, own),) = SEEN
    assert (flags.file, flags.profile, flags.overlay, flags.name) == ("a.yaml", "ci", ("one", "two"), "x")
    assert (flags.engine, flags.lane, flags.port_offset) == ("podman", "containers", 100)
    assert (flags.sets, flags.json, flags.debug) == (("a.b=c=d", "e="), True, True)
    assert (list(own["service"]), own["build"], own["tail"]) == (["redis"], True, "7")


def test_nothing_said_is_nothing_set(capsys: pytest.CaptureFixture[str]) -> None:
    SEEN.clear()

    invoke(capsys, program(note), "note")

    ((flags, own),) = SEEN
    assert flags == Flags(environ=flags.environ)
    assert (list(own["service"]), own["build"], own["tail"]) == ([], False, None)


@pytest.mark.parametrize("given", ["many", "-5", "1.5", ""])
def test_a_port_offset_that_is_no_number_is_a_usage_error(given: str) -> None:
    with pytest.raises(UsageError, match="--port-offset takes a whole number"):
        flags_of(set=None, overlay=None, port_offset=given)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["staus"], "did you mean 'status'"),
        (["donw"], "did you mean 'down'"),
        (["xyzzy"], "xyzzy"),
        (["status", "--nmae", "x"], "--nmae"),
        (["up", "--name"], "error: --name needs a value"),
        (["up", "--port-offset"], "error: --port-offset needs a value"),
    ],
)
def test_what_cannot_be_parsed_ends_with_2_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str], typed: list[str], expected: str
) -> None:
    code, out, err = invoke(capsys, namespace, *typed)

    assert code == 2
    assert out == ""
    assert expected in err
    assert "next: " in err
    assert "Traceback" not in err


def test_the_list_of_commands_and_the_help_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = invoke(capsys, namespace)
    assert code == 0
    for name in ("up", "down", "plan", "status", "env", "logs", "restart", "reset", "run"):
        assert name in out

    code, out, _ = invoke(capsys, namespace, "up", "--help")
    assert code == 0
    for option in ("--build", "--keep", "[SERVICE...]", "--port-offset", "-f", "--json", "-n"):
        assert option in out


# Errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("u"), 2), (ConfigError([Fault("f", "p", "m")]), 2), (EngineError("e"), 3), (EnvkitError("x"), 3),
        (NotUp("n"), 4), (Cancelled(2), 130), (Cancelled(15), 143), (BrokenPipeError(), 141), (None, 0),
    ],
)  # fmt: skip
def test_each_error_has_its_exit_code(capsys: pytest.CaptureFixture[str], error: Exception | None, code: int) -> None:
    def task(flags: Flags) -> None:
        """Do it."""
        if error:
            raise error

    assert invoke(capsys, program(task), "task")[0] == code


def test_a_task_may_give_its_own_code(capsys: pytest.CaptureFixture[str]) -> None:
    def task(flags: Flags) -> int:
        """Do it."""
        return 42

    assert invoke(capsys, program(task), "task")[0] == 42


def test_an_error_shows_message_evidence_and_next_step_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(EngineError("it broke\nbadly", hint="do this\nthen that", detail="log 1\nlog 2\n"))

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "\nerror: it broke\nbadly\n\n    log 1\n    log 2\n\nnext: do this\nnext: then that\n"


def test_debug_shows_the_traceback_and_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise EngineError("it broke") from KeyError("cause")
    except EngineError as error:
        show_error(error, debug=True)

    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "KeyError: 'cause'" in err
    assert "error: it broke" in err


def test_a_bug_is_told_as_one_without_a_traceback_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    def task(flags: Flags) -> None:
        """Do it."""
        raise KeyError("oh")

    code, _, err = invoke(capsys, program(task), "task")

    assert code == 3
    assert "KeyError('oh')" in err
    assert "Traceback" not in err
    with pytest.raises(KeyError):
        run(program(task), ["envkit", "task", "--debug"])
