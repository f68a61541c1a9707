"""The command line: words in the order in which people type them, results, errors and exit codes."""

from __future__ import annotations

import inspect
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from invoke.collection import Collection

from envkit.base.errors import Cancelled, ConfigError, EngineError, EnvkitError, Fault, NotUp, UsageError
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.cli import show
from envkit.cli.command import command
from envkit.cli.context import signals
from envkit.cli.fast_path import parse_plain
from envkit.cli.flags import Flags
from envkit.cli.main import _services, reorder_argv, run
from envkit.cli.options import COMMANDS, COMMON, SHORT, carried_out, flags_of, verbatim
from envkit.cli.reporting import show as show_error
from envkit.cli.tasks import namespace
from envkit.cli.verb import every
from envkit.inventory import state
from envkit.operations.run import child
from envkit.operations.status import Row, Status
from envkit.planning.plan import Action, Plan, Step, Subject


def words(line: str) -> str:
    return " ".join(reorder_argv(["envkit", *line.split()])[1:])


# Words


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", "--list"),
        ("up", "up"),
        ("up redis", "up --service redis"),
        ("up redis postgres --build", "up --service redis --service postgres --build"),
        ("up --name x redis", "up --name x --service redis"),
        ("up --name=x redis", "up --name=x --service redis"),
        ("up -n x redis -f y", "up -n x --service redis -f y"),
        ("logs --tail 5 redis", "logs --tail 5 --service redis"),
        ("logs redis --tail 5", "logs --service redis --tail 5"),
        ("--name x up redis", "up --name x --service redis"),
        ("--name=x --json up", "up --name=x --json"),
        ("-e podman --debug status", "status -e podman --debug"),
        ("--repeat 3 run --keep", "run --repeat 3 --keep"),
        ("--junit a.xml --ci up redis", "up --junit a.xml --ci --service redis"),
        ("--list-all up", "--list-all up"),
        ("-n x", "-n x"),
        ("--json", "--json"),
        ("env --format json", "env --format json"),
        ("status extra", "status extra"),
        ("--help", "--help"),
        ("--version", "--version"),
        ("--list up", "--list up"),
        ("run -- pytest -k x --name y", "run"),
        ("--name x run --keep -- a -- b", "run --name x --keep"),
        ("up --set services.redis.memory=1GiB redis", "up --set services.redis.memory=1GiB --service redis"),
        ("restart redis", "restart --service redis"),
        ("plan redis", "plan --service redis"),
    ],
)
def test_words_are_arranged_as_invoke_wants_them(typed: str, meant: str) -> None:
    assert words(typed) == meant


def test_every_common_option_with_a_value_may_stand_before_the_command() -> None:
    for name, default in COMMON.items():
        option = f"--{name.replace('_', '-')}"
        given = [option] if default is False else [option, "v"]
        assert reorder_argv(["envkit", *given, "up"])[1:] == ["up", *given]
    for letter in SHORT.values():
        assert reorder_argv(["envkit", f"-{letter}", "v", "up", "s"])[1:] == ["up", f"-{letter}", "v", "--service", "s"]


def test_a_value_that_looks_like_a_service_is_none() -> None:
    assert _services(["--service", "a", "b", "--engine", "podman", "c"]) == [
        "--service", "a", "--service", "b", "--engine", "podman", "--service", "c"
    ]  # fmt: skip
    assert {name for name, it in every().items() if it.words == "service"} == {"up", "plan", "logs", "restart", "shell"}


def test_what_follows_the_first_dashes_is_verbatim() -> None:
    assert verbatim(["envkit", "run", "--", "sh", "-c", "echo  $A", "--", "", "--keep"]) == [
        "sh", "-c", "echo  $A", "--", "", "--keep"
    ]  # fmt: skip
    assert verbatim(["envkit", "run"]) == []
    assert verbatim(["envkit", "run", "--"]) == []


# Plain words, without invoke


@pytest.mark.parametrize(
    "typed",
    [
        "up", "up redis postgres --build", "--name x up redis", "-n x --json status", "--name=x env --format json",
        "logs --tail 5 redis", "logs --service redis", "-o a --overlay b plan -s k=v --set l=w --port-offset 5",
        "run --keep -- pytest -k x --name y", "down --force", "restart redis", "up --profile ci --lane embedded",
        "-e podman -f a.yaml --debug env",
    ],
)  # fmt: skip
def test_plain_words_are_understood_as_invoke_understands_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    def noted(name: str) -> Callable[..., None]:
        def note(flags: Flags, **own: Any) -> None:
            seen.append((name, {**own, **{key: it for key, it in vars(flags).items() if key != "environ"}}))

        note.__name__, note.__signature__ = name, inspect.signature(COMMANDS[name])  # type: ignore[attr-defined]  # functions take attributes
        return note

    argv = ["envkit", *typed.split()]
    commands = {name: noted(name) for name in COMMANDS}
    found = parse_plain(argv, commands)
    assert found is not None
    carried_out(*found)
    assert invoke(capsys, program(*commands.values()), *argv[1:])[0] == 0
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "typed",
    [
        "", "--help", "--list", "--version", "up --help", "up -h", "xyzzy", "staus", "status extra", "up --nmae x",
        "up --name", "up --name --json", "up --json=x", "up --name a --name b", "down --build", "test --fast",
        "--build up", "up --port_offset 5", "run pytest", "up -nx", "up -n=x", "up --name=", "-", "env -",
    ],
)  # fmt: skip
def test_words_that_are_not_plain_are_left_to_invoke(typed: str) -> None:
    assert parse_plain(["envkit", *typed.split()], COMMANDS) is None


# A program


def program(*tasks: Callable[..., Any]) -> Collection:
    return Collection(*(command(task) for task in tasks))


def invoke(capsys: pytest.CaptureFixture[str], collection: Collection, *argv: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as caught:
        run(collection, ["envkit", *argv])
        sys.exit(0)
    captured = capsys.readouterr()
    return int(caught.value.code or 0), captured.out, captured.err


SEEN: list[tuple[Flags, dict[str, Any]]] = []


def note(flags: Flags, service: list[str], build: bool = False, tail: str | None = None) -> None:
    """Remember what was asked."""
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


# env, from the record alone


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """The record of an environment named `t`, and a folder with a configuration of that name."""
    monkeypatch.setenv("ENVKIT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ENVKIT_") and name != "ENVKIT_STATE_DIR"]:
        monkeypatch.delenv(name)
    (tmp_path / "envkit.yaml").write_text("name: t\nservices: {}\n")
    paths = Paths(tmp_path / "state", "t")
    state.write(paths, state.Record("t", str(tmp_path), variables={"A": "1 2", "B": "x"}))
    return paths


def test_env_prints_nothing_but_the_variables(up: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(capsys, namespace, "env") == (0, "export A='1 2'\nexport B=x\n", "")
    assert invoke(capsys, namespace, "env", "--format", "dotenv") == (0, "A='1 2'\nB=x\n", "")
    code, out, _ = invoke(capsys, namespace, "--json", "env")
    assert (code, json.loads(out)) == (0, {"A": "1 2", "B": "x"})


def test_env_in_a_format_that_is_none_is_a_usage_error(up: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = invoke(capsys, namespace, "env", "--format", "xml")

    assert (code, out) == (2, "")
    assert "--format is one of dotenv, shell, json, got 'xml'" in err


def test_env_of_what_is_not_up_says_what_to_do(up: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = invoke(capsys, namespace, "env", "--name", "other")

    assert (code, out) == (4, "false\n"), 'or `eval "$(envkit env)" && pytest` would test'
    assert "environment other is not up" in err
    assert "up --name other" in err
    assert invoke(capsys, namespace, "env", "--name", "other", "--format", "dotenv")[:2] == (4, "")


def test_env_of_what_has_gone_since_says_what_and_repairs_nothing(
    up: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    state.write(up, state.Record("t", "/", variables={"A": "1"}, ports={"db.main": port}))

    code, out, err = invoke(capsys, namespace, "env")

    assert (code, out) == (4, "false\n")
    assert f"does not answer any more: db.main (port {port})" in err
    assert "repairs it" in err


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["logs", "--tail", "few"], "--tail takes a number of lines"),
        (["restart"], "restart needs the name of a service"),
        (["run"], "run needs a command after --"),
    ],
)
def test_usage_errors_of_commands(
    up: Paths, capsys: pytest.CaptureFixture[str], argv: list[str], expected: str
) -> None:
    code, out, err = invoke(capsys, namespace, *argv)

    assert (code, out) == (2, "")
    assert expected in err
    assert "next: " in err or argv == ["logs", "--tail", "few"]


def test_a_suggested_command_finds_the_same_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVKIT_PROGRAM", "./dev")

    assert Flags().command("up") == "./dev up"
    assert Flags(file="my file.yaml", name="x").command("up") == "./dev up --file 'my file.yaml' --name x"


# Results

PLAN = Plan((
    Step("network", Subject.NETWORK, "network", Action.KEEP, "is there"),
    Step("redis", Subject.SERVICE, "redis", Action.REPLACE, "exited with 1", ("network",)),
))  # fmt: skip


def shown(what: Callable[..., None], *args: Any) -> str:
    out = io.StringIO()
    what(*args, out.write)
    return out.getvalue()


def test_a_plan_is_shown_with_reasons_and_as_json() -> None:
    text = shown(show.plan, PLAN, Flags())
    rows = json.loads(shown(show.plan, PLAN, Flags(json=True)))

    assert text.splitlines() == [
        "keep     network  is there",
        "replace  redis    exited with 1",
        "1 of 2 steps would change something",
    ]
    assert rows[1] == {"step": "redis", "action": "replace", "reason": "exited with 1", "needs": ["network"]}
    assert shown(show.plan, Plan(PLAN.steps[:1]), Flags()).endswith("nothing to do\n")


def test_a_status_is_shown_as_a_table_and_as_json() -> None:
    found = Status("t", "docker 24", (Row("redis", "running", "ready", {"main": "127.0.0.1:6379"}, "redis:7", "3m"),
                                      Row("job", "absent", "-")))  # fmt: skip
    etcd = Row("etcd", "running", "ready", {}, "program:etcd", "1s", "3.5 from PATH")
    plain = Status("t", "plain processes", (etcd,), ("kube-x: no y",))

    text, body = shown(show.status, found, Flags()), json.loads(shown(show.status, found, Flags(json=True)))

    assert "environment t on docker 24: not up" in text
    assert "main 127.0.0.1:6379" in text
    assert body["up"] is False
    assert body["services"][0]["addresses"] == {"main": "127.0.0.1:6379"}
    assert "IMAGE" in text and "redis:7" in text and "missing" not in text

    text, body = shown(show.status, plain, Flags()), json.loads(shown(show.status, plain, Flags(json=True)))
    assert "PROGRAM" in text and "3.5 from PATH" in text and "missing: kube-x: no y" in text
    assert (body["services"][0]["source"], body["missing"]) == ("3.5 from PATH", ["kube-x: no y"])


def test_down_tells_what_went() -> None:
    assert shown(show.down, "t", ["a", "b"], Flags()) == "environment t is down: 2 things removed\n"
    assert "nothing to remove" in shown(show.down, "t", [], Flags())
    assert json.loads(shown(show.down, "t", ["a"], Flags(json=True))) == {"name": "t", "removed": ["a"]}


# Signals and children


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


# What a command costs before it begins


HEAVY = {"invoke", "pydantic", "rich", "docker", "kubernetes", "urllib3", "psutil", "asyncio"}
IDLE = {
    *HEAVY - {"pydantic"},
    "pg8000",
    "cryptography",
    "envkit.drivers.clusters.bootstrap",
    "envkit.evidence",
    "envkit.watch",
}


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        (
            "envkit.cli.fast_path, envkit.cli.tasks, envkit.config.load, envkit.operations.env, "
            "envkit.inventory.export",
            HEAVY,
        ),
        (
            "envkit.cli.fast_path, envkit.cli.tasks, envkit.drivers.lanes, envkit.operations.up, "
            "envkit.drivers.runtimes.launching, envkit.drivers.clusters.connections, "
            "envkit.drivers.clusters.bootstrap_wanted, envkit.drivers.databases.pgwire, envkit.drivers.databases.resp",
            IDLE,
        ),
    ],
    ids=["env", "up with nothing to do"],
)
def test_what_is_slow_to_import_is_imported_where_it_is_used(modules: str, without: set[str]) -> None:
    script = f"import {modules}, sys; print(*sys.modules)"

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert without & {*said.split()} == set()
